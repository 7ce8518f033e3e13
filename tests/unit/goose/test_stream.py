"""Reading goose's stream-json: any pieces, any garbage, bounded memory."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goosejobs.model.run import Tokens
from goosejobs_worker.executors.kubernetes.progress import Progress, compact
from goosejobs_worker.goose.stream import MAX_ID, MAX_LINE, MAX_REMARKS, MAX_TEXT, StreamReader, Transcript
from support.goose_runs import SCENARIOS, load

INFERENCE = {"inference": {"provider": "openai", "requestedModel": "stub"}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "message",
                    "role",
                    "content",
                    "text",
                    "metadata",
                    "inference",
                    "id",
                    "toolCall",
                    "value",
                ]
            ),
            inner
            | st.sampled_from(
                ["message", "assistant", "user", "text", "toolRequest", "toolResponse", "error"]
            ),
            max_size=6,
        )
    ),
    max_leaves=20,
)


def line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


def message(*content: dict[str, Any], role: str = "assistant", of_model: bool = True, **more: Any) -> bytes:
    body = {"id": "m1", "role": role, "content": list(content), **more}
    return line({"type": "message", "message": {**body, "metadata": INFERENCE if of_model else {}}})


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def output_call(call_id: str, arguments: Any) -> dict[str, Any]:
    call = {"status": "success", "value": {"name": "recipe__final_output", "arguments": arguments}}
    return {"type": "toolRequest", "id": call_id, "toolCall": call}


def tool_result(call_id: str, *, status: str = "success", is_error: bool = False) -> dict[str, Any]:
    result = {"status": status, "value": {"content": [], "isError": is_error}}
    return {"type": "toolResponse", "id": call_id, "toolResult": result}


def read(*data: bytes) -> Transcript:
    reader = StreamReader()
    for piece in data:
        reader.feed(piece)
    return reader.finish()


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_the_pieces_in_which_output_comes_do_not_matter(size: int) -> None:
    for name in SCENARIOS:
        stdout = load(name).stdout
        pieces = [stdout[at : at + size] for at in range(0, len(stdout), size)]
        assert read(*pieces) == read(stdout), name


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=64) | JSON.map(lambda value: json.dumps(value).encode() + b"\n"), max_size=12)
)
def test_garbage_never_raises_and_never_completes_a_run(pieces: list[bytes]) -> None:
    assert not read(*pieces).complete


@settings(max_examples=60, deadline=None)
@given(st.lists(JSON, max_size=4), JSON, JSON)
def test_a_malformed_message_never_raises(content: list[Any], metadata: Any, message_id: Any) -> None:
    body = {"role": "assistant", "id": message_id, "content": content, "metadata": metadata}
    assert read(line({"type": "message", "message": body})).messages == 1


@pytest.mark.parametrize(
    "odd",
    [
        b"[" * 100_000,
        b"9" * 5000,
        b"\xff\xfe\x00",
        b"null",
        b'{"type":5}',
        b'{"type":"message","message":[]}',
    ],
    ids=["deep", "a huge number", "not UTF-8", "null", "a number as type", "a list as message"],
)
def test_an_odd_line_does_not_hide_the_lines_around_it(odd: bytes) -> None:
    transcript = read(message(text("before")), odd + b"\n", b'{"type":"complete","total_tokens":1}\n')
    assert (transcript.text, transcript.complete) == ("before", True)


def test_a_line_that_is_too_long_is_dropped_and_counted_and_the_next_is_read() -> None:
    transcript = read(message(text("kept")), message(text("x" * MAX_LINE)), b'{"type":"complete"}\n')
    assert (transcript.text, transcript.dropped_lines, transcript.complete) == ("kept", 1, True)


def test_a_last_line_without_a_line_break_counts() -> None:
    assert read(b'{"type":"complete","total_tokens":1}').complete


def test_half_a_last_line_does_not_count() -> None:
    assert not read(b'{"type":"complete","total_tok').complete


def test_the_pieces_of_one_message_are_one_text_and_the_next_message_replaces_it() -> None:
    transcript = read(message(text("first")), message(text("sec"), id="m2"), message(text("ond"), id="m2"))
    assert (transcript.text, transcript.text_length) == ("second", 6)


def test_white_space_does_not_replace_the_answer_before_it() -> None:
    assert read(message(text("the answer")), message(text(" \n"), id="m2")).text == "the answer"


def test_of_a_long_text_the_end_is_kept_and_the_length_known() -> None:
    pieces = [message(text(f"{number:09d} ")) for number in range(20_000)]
    transcript = read(*pieces)
    assert transcript.text.endswith("000019998 000019999 ")
    assert (len(transcript.text), transcript.text_length) == (MAX_TEXT, 200_000)


def hostile(words: str) -> bytes:
    """Everything that goose may say, with the same words in each place."""
    error = {"type": "error", "message": words, "kind": words}
    notification = {"type": "systemNotification", "msg": words, "notificationType": words}
    return b"".join(
        [
            message(text(words), output_call("c1", {words: words})),
            message(tool_result("c1"), role="user"),
            message(text(words), error, notification, of_model=False),
            line({"type": "error", "error": words}),
        ]
    )


def test_halves_of_surrogate_pairs_do_not_get_to_where_all_must_be_utf_8() -> None:
    said = compact(read(hostile("a\ud800b")))
    assert (said.text, said.output, said.error) == ("a?b", '{"a?b":"a?b"}', "a?b")
    assert [remark.text for remark in said.remarks] == ["a?b", "a?b", "a?b"]
    Progress(job_uid="u", told=said).model_dump_json()


def test_what_heartbeats_carry_is_small_whatever_goose_says() -> None:
    said = compact(read(hostile("\N{GRINNING FACE}" * 20_000)))
    assert len(Progress(job_uid="u", told=said).model_dump_json().encode()) < 128 * 1024


def test_an_id_of_any_length_costs_no_memory() -> None:
    reader = StreamReader()
    tracemalloc.start()
    try:
        for number in range(16):
            call_id = f"{number:05d}" + "x" * 100 * MAX_ID
            reader.feed(message(output_call(call_id, {}), text("words"), id=call_id))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 64 * 1024


def test_memory_stays_bounded_over_a_long_stream() -> None:
    long = "x" * 200_000
    reader = StreamReader()
    tracemalloc.start()
    try:
        for number in range(60):
            reader.feed(message(text(long)))
            reader.feed(message(output_call(f"c{number}", {"a": long * (4 if number > 50 else 1)})))
            reader.feed(b"stray " * 30_000 + b"\n")
        for _ in range(60):
            reader.feed(message(text(long), of_model=False))
        reader.feed(b"no end of line " * 300_000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    reader.finish()
    assert kept < 3 * 1024 * 1024


def test_what_goose_says_is_kept_apart_from_what_the_model_says() -> None:
    transcript = read(message(text("the model")), message(text("goose"), of_model=False))
    assert transcript.text == "the model"
    assert [(remark.kind, remark.text) for remark in transcript.remarks] == [("text", "goose")]


def test_goose_counts_as_silent_once_the_model_speaks_again() -> None:
    assert read(message(text("trouble"), of_model=False), message(text("the model"))).remarks == ()


def test_of_many_remarks_the_last_are_kept() -> None:
    remarks = read(*[message(text(str(n)), of_model=False) for n in range(50)]).remarks
    assert (len(remarks), remarks[-1].text) == (MAX_REMARKS, "49")


def test_an_output_counts_once_goose_has_accepted_it() -> None:
    asked = message(output_call("c1", {"a": 1, "b": "ü"}))
    assert read(asked).output is None
    assert read(asked, message(tool_result("c1"), role="user")).output == '{"a":1,"b":"ü"}'


@pytest.mark.parametrize(
    "answer",
    [tool_result("c1", status="error"), tool_result("c1", is_error=True), tool_result("another")],
    ids=["refused", "marked as error", "of another call"],
)
def test_an_output_that_goose_did_not_accept_does_not_count(answer: dict[str, Any]) -> None:
    assert read(message(output_call("c1", {"a": 1})), message(answer, role="user")).output is None


def test_an_answer_without_a_call_is_no_output() -> None:
    assert read(message(tool_result("c1"), role="user")).output is None


@pytest.mark.parametrize(
    ("counts", "tokens"),
    [
        ({"total_tokens": 9, "input_tokens": 4, "output_tokens": 5}, Tokens(input=4, output=5, total=9)),
        ({"total_tokens": 9}, Tokens(total=9)),
        ({"total_tokens": None}, None),
        ({"total_tokens": "9", "input_tokens": True, "output_tokens": -1}, None),
        ({"total_tokens": 2**63}, None),
    ],
)
def test_tokens_are_what_goose_counted_or_unknown(counts: dict[str, Any], tokens: Tokens | None) -> None:
    assert read(line({"type": "complete", **counts})).tokens == tokens


def test_the_error_line_and_stray_text_are_kept() -> None:
    transcript = read(b"\n  error: No provider configured.\n", line({"type": "error", "error": "refused"}))
    assert (transcript.stray, transcript.error) == ("error: No provider configured.", "refused")
