"""What an attempt has reached, as its heartbeats tell it to whoever goes on with it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Self

from pydantic import ValidationError

from goosejobs.model.run import Message
from goosejobs.model.status import MAX_RESULT
from goosejobs_worker.goose.stream import Transcript

_MAX_WORDS: Final = 1024
_MAX_REMARKS: Final = 4


class Progress(Message):
    """How far an attempt is. Kept in Temporal, so it is small."""

    job_uid: str | None = None
    """The Kubernetes Job was created; from then on it is looked at, never created again."""
    needs_output: bool = False
    """The recipe has a `response.json_schema`."""
    told: Transcript | None = None
    """What goose said, once it said its last line: the pod and its log may be gone when it is needed."""

    @classmethod
    def of(cls, details: Sequence[Any]) -> Self:
        """What the last heartbeat of an earlier try said; nothing, if there was none that can be read."""
        try:
            return cls.model_validate(details[0]) if details else cls()
        except ValidationError:
            return cls()


def compact(transcript: Transcript) -> Transcript:
    """What of a transcript the status has room for."""
    return replace(
        transcript,
        text=transcript.text[-2 * MAX_RESULT :],
        output=transcript.output if transcript.output is None else transcript.output[: 2 * MAX_RESULT],
        remarks=tuple(
            replace(remark, text=remark.text[:_MAX_WORDS]) for remark in transcript.remarks[-_MAX_REMARKS:]
        ),
        error=transcript.error if transcript.error is None else transcript.error[:_MAX_WORDS],
        stray=transcript.stray[-_MAX_WORDS:],
    )
