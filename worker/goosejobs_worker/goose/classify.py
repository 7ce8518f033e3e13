"""How a run of goose ended, from what it printed and how it exited. Pure.

goose's exit code does not tell: it exits 0 when the provider failed, when the turn limit was reached and
when the recipe's retries are spent (each seen with goose 1.52.0; tests/data/goose holds what it printed).
What tells is what goose itself said after the model last spoke; `stream` has separated the two.

The words are goose's, from crates/goose/src/agents/agent.rs (errors, turn limit, refusals, empty answers),
crates/goose/src/agents/retry.rs (spent retries), crates/goose-provider-types/src/errors.rs (sorts of provider
errors) and crates/goose-cli (recipes, configuration).
"""

import re
import signal as signals
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import Tokens
from goosejobs.model.status import MAX_MESSAGE, MAX_RESULT
from goosejobs_worker.goose.redact import keep_end, keep_start, message_text, plain, without_secrets
from goosejobs_worker.goose.stream import Remark, Transcript

TURN_LIMIT: Final = "I've reached the maximum number of actions I can do without user input."

_PROVIDER_ERRORS: Final = (
    ("Authentication error: ", Reason.PROVIDER_AUTH),
    ("Credits exhausted: ", Reason.PROVIDER_AUTH),
    ("Rate limit exceeded: ", Reason.RATE_LIMITED),
    ("Server error: ", Reason.PROVIDER_ERROR),
    ("Network error: ", Reason.NETWORK_ERROR),
    ("Provider is not configured", Reason.PROVIDER_UNKNOWN),
    ("Endpoint not found (404): ", Reason.PROVIDER_UNKNOWN),
    ("Request failed: Resource not found (404)", Reason.PROVIDER_UNKNOWN),
)
"""How `ProviderError` begins, and what that is to us. A 404 is a wrong address or an unknown model."""

_SAYINGS: Final = (
    ("Network error: ", Reason.NETWORK_ERROR),
    (TURN_LIMIT, Reason.TURN_LIMIT),
    ("Maximum retry attempts (", Reason.RECIPE_RETRIES),
    ("Retry logic encountered an error: ", Reason.RECIPE_RETRIES),
    ("This recipe declares a structured `response`, but provider `", Reason.OUTPUT_MISSING),
    ("The model returned an empty response.", Reason.PROVIDER_ERROR),
    ("The provider refused this request.", Reason.GOOSE_FAILED),
    ("Unable to continue: Context limit still exceeded after compaction.", Reason.GOOSE_FAILED),
    ("Headless run interrupted", Reason.GOOSE_CRASHED),
)

_DETAILS: Final = {
    "authentication": Reason.PROVIDER_AUTH,
    "creditsExhausted": Reason.PROVIDER_AUTH,
}

_CONSEQUENCES: Final = frozenset({Reason.TURN_LIMIT, Reason.RECIPE_RETRIES})
"""What a failing provider ends in where goose asks again and again: for a structured output until the turn
limit, for the recipe's checks until its retries are spent. The provider is the reason then."""

_RAN_INTO = re.compile(r"Ran into this error(?: trying to compact)?: ")
_ADVICE = re.compile(
    r"\.?\s*(?:Please retry if you think this is a transient or recoverable error\."
    r"|Please resend your message to (?:try again|continue)\.|Please try again or create a new session)\s*\Z"
)
"""What goose tells a person at a terminal to do."""

_BAD_RECIPE = re.compile(
    r"Invalid recipe: |Please provide the following parameters|no text provided for prompt"
    r"|Recipe file not found"
)
_UNCONFIGURED = re.compile(r"goose configure|Unknown provider: |Configuration value not found: ")
_CONFIGURE = re.compile(r"\s*(?:Please check your system keychain|Run 'goose configure').*", re.DOTALL)
_STDERR_ERROR = re.compile(r"^[Ee]rror: (.*)\Z", re.MULTILINE | re.DOTALL)
_STRAY_ERROR = re.compile(r"\A\s*error: (?:Error )?")
_PANIC = re.compile(r"^thread '.*' .*panicked at .*\n(.*)$", re.MULTILINE)
_WARNING = re.compile(r"^\s*⚠\s*(Failed to start extension .*)$", re.MULTILINE)

_HOW_TO_CONFIGURE: Final = (
    "Name provider and model in spec.model, in the recipe's settings or in the worker's GOOSE_PROVIDER and "
    "GOOSE_MODEL, and give the worker the provider's key."
)

Trouble = tuple[Reason, str]


@dataclass(frozen=True)
class Ending:
    """How one attempt ended."""

    outcome: Outcome
    reason: Reason
    message: str = ""
    """A sentence for people; at most `MAX_MESSAGE` characters, one line, no secrets."""
    result: str = ""
    """The agent's last text, or its structured output as JSON; at most `MAX_RESULT` characters."""
    tokens: Tokens | None = None
    """None where goose did not say: it counts them only when it comes to its end."""


def classify(
    transcript: Transcript,
    exit_code: int | None,
    signal: int | None,
    stderr_tail: str,
    *,
    needs_output: bool,
    secrets: Collection[str] = (),
) -> Ending:
    """Name the ending of a goose that nobody of us stopped.

    Args:
        transcript: What `StreamReader.finish` gave.
        exit_code: goose's exit code; None when a signal ended it, or it is not known.
        signal: The signal that ended goose; None when it exited.
        stderr_tail: The end of its stderr.
        needs_output: The recipe has a `response.json_schema`: without the output the run has failed.
        secrets: Values to mask in message and result, as `command.secret_values` finds them.
    """
    trouble = _trouble(transcript, exit_code, signal, stderr_tail, needs_output)
    if trouble is None:
        warnings = message_text(" ".join(_WARNING.findall(stderr_tail)), secrets, MAX_MESSAGE)
        result = _result(transcript, needs_output, secrets)
        return Ending(Outcome.SUCCEEDED, Reason.COMPLETED, warnings, result, transcript.tokens)
    reason, words = trouble
    outcome = Outcome.UNKNOWN if reason is Reason.NO_OUTCOME else Outcome.FAILED
    return Ending(outcome, reason, message_text(words, secrets, MAX_MESSAGE), tokens=transcript.tokens)


def _trouble(
    transcript: Transcript, exit_code: int | None, signal: int | None, stderr: str, needs_output: bool
) -> Trouble | None:
    if signal is None and exit_code is None:
        return Reason.NO_OUTCOME, "goose is gone, and nobody saw how it exited."
    if exit_code == 0 and not transcript.complete:
        return Reason.NO_OUTCOME, "goose exited with 0, but its output has no end that can be read."
    if said := _said_trouble(transcript):
        return _in_our_words(said, transcript)
    if signal is not None:
        return (
            Reason.GOOSE_CRASHED,
            f"goose was ended by {_signal_name(signal)}, which the worker did not send.",
        )
    if exit_code:
        return _exit_trouble(transcript, exit_code, stderr)
    if needs_output and transcript.output is None:
        return Reason.OUTPUT_MISSING, _output_missing(transcript)
    return None


def _said_trouble(transcript: Transcript) -> Trouble | None:
    """What goose itself said since the model last spoke, if it is about a failure."""
    remarks = [*transcript.remarks]
    if transcript.error is not None:
        remarks.append(Remark("error", transcript.error))
    troubles = [trouble for remark in remarks if (trouble := _remark_trouble(remark))]
    causes = [trouble for trouble in troubles if trouble[0] not in _CONSEQUENCES]
    if troubles and troubles[-1][0] in _CONSEQUENCES and causes:
        return causes[-1]
    if troubles:
        return troubles[-1]
    # goose has the last word only to give the structured output back, or to say what went wrong. A saying of
    # a later goose that we do not know must not pass for success.
    if transcript.model_spoke and transcript.output is None and remarks and remarks[-1].kind == "text":
        return Reason.GOOSE_FAILED, remarks[-1].text
    return None


def _remark_trouble(remark: Remark) -> Trouble | None:
    if ran_into := _RAN_INTO.match(remark.text):
        error = remark.text[ran_into.end() :]
        return _by_beginning(error, _PROVIDER_ERRORS) or Reason.GOOSE_FAILED, _ADVICE.sub("", error)
    reason = _by_beginning(remark.text, _SAYINGS) or _DETAILS.get(remark.detail)
    if reason is None and remark.kind == "error":
        reason = Reason.GOOSE_FAILED
    return (reason, _ADVICE.sub("", remark.text)) if reason else None


def _by_beginning(text: str, table: Iterable[tuple[str, Reason]]) -> Reason | None:
    return next((reason for beginning, reason in table if text.startswith(beginning)), None)


def _in_our_words(trouble: Trouble, transcript: Transcript) -> Trouble:
    reason, words = trouble
    if reason is Reason.TURN_LIMIT and transcript.output_reminders:
        return Reason.OUTPUT_MISSING, _output_missing(transcript)
    if reason is Reason.TURN_LIMIT:
        return reason, "The agent was not done when it reached the turn limit (spec.model.maxTurns)."
    if reason is Reason.RECIPE_RETRIES:
        return reason, f"The checks of the recipe's `retry` did not pass: {words}"
    return trouble


def _output_missing(transcript: Transcript) -> str:
    words = "The model never gave the structured output that the recipe's response.json_schema asks for"
    if transcript.output_reminders:
        words += f"; goose reminded it {transcript.output_reminders} times"
    if transcript.dropped_lines:
        words += f"; {transcript.dropped_lines} lines of goose's output were too long to be read"
    return f"{words}."


def _exit_trouble(transcript: Transcript, exit_code: int, stderr: str) -> Trouble:
    """What a goose that exited with an error printed as plain text: errors on stderr, some on stdout."""
    if panic := _PANIC.search(stderr):
        return Reason.GOOSE_CRASHED, f"goose panicked: {panic[1]}"
    found = _STDERR_ERROR.search(stderr)
    words = found[1] if found else _STRAY_ERROR.sub("", transcript.stray) or _last_lines(stderr)
    before_start = transcript.messages == 0  # later on, the words may be the agent's
    if before_start and _BAD_RECIPE.match(words):
        return Reason.INVALID_RECIPE, words.removeprefix("Invalid recipe: ")
    if before_start and _UNCONFIGURED.search(words):
        return Reason.PROVIDER_UNKNOWN, f"{_CONFIGURE.sub('', words)} {_HOW_TO_CONFIGURE}"
    if (known := _remark_trouble(Remark("text", words))) is not None:
        return known
    return Reason.GOOSE_FAILED, f"goose exited with {exit_code}: {words or 'it gave no reason.'}"


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-3:])


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _result(transcript: Transcript, needs_output: bool, secrets: Collection[str]) -> str:
    if needs_output:
        kept = transcript.output or ""
        lost = transcript.output_length - len(kept)
        return keep_start(without_secrets(plain(kept), secrets), MAX_RESULT, lost)
    lost = transcript.text_length - len(transcript.text)
    return keep_end(without_secrets(plain(transcript.text), secrets).strip(), MAX_RESULT, lost)
