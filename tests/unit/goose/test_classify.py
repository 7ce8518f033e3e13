"""What goose printed (tests/data/goose, recorded from 1.52.0), and what that means."""

import json
from dataclasses import replace

import pytest

from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.status import MAX_MESSAGE, MAX_RESULT
from goosejobs_worker.goose.classify import Ending, classify
from goosejobs_worker.goose.stream import MAX_TEXT, Remark, StreamReader, Transcript
from support.goose_runs import SAYINGS, SCENARIOS, load

DONE = Transcript(text="done", text_length=4, model_spoke=True, complete=True, messages=1)


def ended(
    transcript: Transcript,
    *,
    exit_code: int | None = 0,
    signal: int | None = None,
    stderr: str = "",
    needs_output: bool = False,
    secrets: tuple[str, ...] = (),
) -> Ending:
    return classify(transcript, exit_code, signal, stderr, needs_output=needs_output, secrets=secrets)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_recorded_run_has_the_ending_it_had(name: str) -> None:
    scenario = SCENARIOS[name]
    ending = load(name).classify(scenario)
    assert (ending.outcome, ending.reason) == (scenario.outcome, scenario.reason), ending
    assert ending.result == scenario.result
    assert scenario.says in ending.message


@pytest.mark.parametrize("name", [name for name, s in SCENARIOS.items() if s.outcome is Outcome.SUCCEEDED])
def test_a_successful_output_without_its_last_line_is_unknown_never_succeeded(name: str) -> None:
    recording = load(name)
    cut = b"".join(recording.stdout.splitlines(keepends=True)[:-1])
    ending = replace(recording, stdout=cut).classify(SCENARIOS[name])
    assert (ending.outcome, ending.reason, ending.result) == (Outcome.UNKNOWN, Reason.NO_OUTCOME, "")


def test_an_output_cut_anywhere_is_never_taken_for_success() -> None:
    for name, scenario in SCENARIOS.items():
        recording = load(name)
        for size in range(0, len(recording.stdout) - 1, 97):
            ending = replace(recording, stdout=recording.stdout[:size]).classify(scenario)
            assert ending.outcome is not Outcome.SUCCEEDED, (name, size)


@pytest.mark.parametrize("name", [name for name, s in SCENARIOS.items() if s.outcome is Outcome.SUCCEEDED])
def test_a_run_that_needs_an_output_succeeds_only_with_one(name: str) -> None:
    ending = load(name).classify(replace(SCENARIOS[name], recipe={"response": {}}))
    assert (ending.reason is Reason.COMPLETED) == (name == "output")
    assert ending.reason in {Reason.COMPLETED, Reason.OUTPUT_MISSING}


@pytest.mark.parametrize("saying", SAYINGS)
def test_the_same_words_are_trouble_from_goose_and_an_answer_from_the_model(saying: str) -> None:
    words = saying.replace(r"\n", "\n")
    by_goose = replace(DONE, remarks=(Remark("text", words),))
    by_model = replace(DONE, text=words, text_length=len(words))
    assert ended(by_goose).outcome is Outcome.FAILED
    assert (ended(by_model).outcome, ended(by_model).result) == (Outcome.SUCCEEDED, words)


def test_an_unknown_last_word_of_goose_does_not_pass_for_success() -> None:
    ending = ended(replace(DONE, remarks=(Remark("text", "A new kind of failure."),)))
    assert (ending.reason, ending.message) == (Reason.GOOSE_FAILED, "A new kind of failure.")


def test_a_notice_of_goose_is_not_a_failure() -> None:
    notice = Remark("notification", "Compaction complete", "inlineMessage")
    assert ended(replace(DONE, remarks=(notice,))).outcome is Outcome.SUCCEEDED


def test_a_goose_that_does_not_mark_the_models_words_is_understood() -> None:
    reader = StreamReader()
    for piece in ("all ", "is ", "well"):
        content = [{"type": "text", "text": piece}]
        message = {"id": "m", "role": "assistant", "content": content, "metadata": {}}
        reader.feed(json.dumps({"type": "message", "message": message}).encode() + b"\n")
    reader.feed(b'{"type":"complete","total_tokens":3}\n')
    ending = ended(reader.finish())
    assert (ending.outcome, ending.result) == (Outcome.SUCCEEDED, "all is well")


def test_a_provider_that_failed_first_and_answered_then_is_no_failure() -> None:
    reader = StreamReader()
    reader.feed(load("server-error").stdout.splitlines(keepends=True)[0])
    reader.feed(load("answer").stdout)
    assert ended(reader.finish()).result == "hello world"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("Ran into this error: Execution error: odd.", Reason.GOOSE_FAILED),
        ("Ran into this error: Credits exhausted: none left.", Reason.PROVIDER_AUTH),
        ("Ran into this error: Endpoint not found (404): /v9.", Reason.PROVIDER_UNKNOWN),
        ("Ran into this error trying to compact: Rate limit exceeded: slow down.", Reason.RATE_LIMITED),
        ("The provider refused this request.\n\npolicy", Reason.GOOSE_FAILED),
        (
            "This recipe declares a structured `response`, but provider `x` can't support it",
            Reason.OUTPUT_MISSING,
        ),
    ],
)
def test_what_goose_says_of_rarer_failures_has_a_reason(words: str, reason: Reason) -> None:
    assert ended(replace(DONE, remarks=(Remark("text", words),))).reason is reason


def test_a_context_that_cannot_be_shortened_is_a_failure() -> None:
    words = "Unable to continue: Context limit still exceeded after compaction. Try a shorter message."
    ending = ended(replace(DONE, remarks=(Remark("notification", words, "inlineMessage"),)))
    assert (ending.reason, ending.message) == (Reason.GOOSE_FAILED, words)


def test_an_error_line_of_an_unknown_kind_is_a_failure_of_goose() -> None:
    ending = ended(replace(DONE, complete=False, error="Session vanished"), exit_code=1)
    assert (ending.reason, ending.message) == (Reason.GOOSE_FAILED, "Session vanished")


def test_an_exit_that_nobody_saw_is_unknown() -> None:
    ending = ended(DONE, exit_code=None)
    assert (ending.outcome, ending.reason) == (Outcome.UNKNOWN, Reason.NO_OUTCOME)


def test_an_exit_code_is_believed_when_it_tells_of_failure() -> None:
    ending = ended(DONE, exit_code=3, stderr="warm up\nlast words\n")
    assert (ending.reason, ending.message) == (
        Reason.GOOSE_FAILED,
        "goose exited with 3: warm up last words",
    )


def test_an_error_after_the_agent_began_is_not_laid_on_the_recipe() -> None:
    ending = ended(DONE, exit_code=1, stderr="Error: Invalid recipe: so says a tool\n")
    assert ending.reason is Reason.GOOSE_FAILED


def test_an_unnamed_signal_is_told_by_its_number() -> None:
    assert "signal 99" in ended(DONE, exit_code=None, signal=99).message


def test_the_end_of_a_long_answer_is_kept_and_the_cut_is_marked() -> None:
    text = "x" * 5000 + " so the answer is 42."
    ending = ended(replace(DONE, text=text, text_length=len(text)))
    assert len(ending.result) == MAX_RESULT
    assert ending.result.startswith("[cut: the end of 5021 characters] … x")
    assert ending.result.endswith("so the answer is 42.")


def test_a_long_answer_of_little_but_secrets_is_still_marked_as_cut() -> None:
    kept = "hunter22" * (MAX_TEXT // 8)
    ending = ended(replace(DONE, text=kept, text_length=len(kept) + 100), secrets=("hunter22" * 100,))
    assert "hunter22" * 100 not in ending.result
    assert ending.result.startswith("[cut: ")
    assert len(ending.result) <= MAX_RESULT


def test_the_beginning_of_a_long_output_is_kept_and_the_cut_is_marked() -> None:
    output = json.dumps({"text": "y" * 5000})
    transcript = replace(DONE, output=output, output_length=len(output))
    result = ended(transcript, needs_output=True).result
    assert len(result) == MAX_RESULT
    assert result.startswith('{"text": "yyy')
    assert result.endswith(f"… [cut: {len(output)} characters in all]")


def test_a_message_is_one_bounded_line_without_terminal_codes() -> None:
    words = "\x1b[31mRed\x1b[0m\r\nand \x07long: " + "z" * 3000
    ending = ended(replace(DONE, complete=False, error=words), exit_code=1)
    assert ending.message.startswith("Red and long: zzz")
    assert len(ending.message) == MAX_MESSAGE


def test_a_given_secret_appears_neither_in_message_nor_in_result() -> None:
    failed = ended(
        replace(DONE, complete=False, error="key hunter22 refused"), exit_code=1, secrets=("hunter22",)
    )
    succeeded = ended(replace(DONE, text="it is hunter22", text_length=14), secrets=("hunter22",))
    assert failed.message == "key *** refused"
    assert succeeded.result == "it is ***"


def test_a_given_secret_does_not_appear_in_an_output() -> None:
    output = '{"key":"hunter22"}'
    transcript = replace(DONE, output=output, output_length=len(output))
    assert ended(transcript, needs_output=True, secrets=("hunter22",)).result == '{"key":"***"}'


@pytest.mark.parametrize("name", ["no-provider", "no-model", "no-key", "unknown-provider"])
def test_a_missing_configuration_is_explained_in_our_terms_not_by_goose_configure(name: str) -> None:
    message = load(name).classify(SCENARIOS[name]).message
    assert "spec.model" in message
    assert "goose configure" not in message
