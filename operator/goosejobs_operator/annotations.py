"""The requests that people write on a GooseJob as annotations, read. Pure."""

import re
from hashlib import sha256

from goosejobs.clients.kube import Object
from goosejobs.lifecycle import read_status
from goosejobs.model import names
from goosejobs.model.status import MAX_TOKEN

REQUESTS = (names.RUN_REQUESTED, names.KILL_REQUESTED, names.RESUME_REQUESTED)

_TOKEN = re.compile(rf"[A-Za-z0-9._:+-]{{1,{MAX_TOKEN}}}")
_ODD = re.compile(r"[^A-Za-z0-9._:+-]")
_SHOWN = 48


def value_of(obj: Object, annotation: str) -> str:
    """The value as it stands there; empty when nothing is asked for."""
    return str((obj["metadata"].get("annotations") or {}).get(annotation) or "")


def is_token(value: str) -> bool:
    """Whether a value can be repeated as it is."""
    return _TOKEN.fullmatch(value) is not None


def is_first_sight(obj: Object) -> bool:
    """Whether nobody has looked at the requests of an object before; then those that are there do nothing.

    Whoever looks leaves `status.handledRequests` behind, be it empty. Where it is missing, the object is new,
    or was restored without its status, or somebody removed what was answered.
    """
    status = read_status(obj)
    return status.observed_generation < 0 or status.handled_requests is None


def token_of(obj: Object, annotation: str) -> str:
    """The value, or what stands for one that is too long or too odd to be repeated.

    Returns:
        At most `MAX_TOKEN` plain characters; empty when nothing is asked for.
    """
    value = value_of(obj, annotation)
    if not value or is_token(value):
        return value
    digest = sha256(value.encode("utf-8", "backslashreplace")).hexdigest()
    return f"{_ODD.sub('_', value[:_SHOWN])}-{digest[:8]}"


def new_token(obj: Object, annotation: str, answered: str | None) -> str:
    """The same if it is to be acted on; empty when it was answered, or is there at first sight.

    Args:
        obj: The GooseJob.
        annotation: Which request.
        answered: The one that was answered last.
    """
    token = token_of(obj, annotation)
    return "" if token == answered or is_first_sight(obj) else token


def new_kill(obj: Object) -> str:
    """What is to be ended: the id of a run, or `all`, perhaps with a colon and anything after it."""
    handled = read_status(obj).handled_requests
    return new_token(obj, names.KILL_REQUESTED, handled.kill.token if handled and handled.kill else None)


def tokens_of(obj: Object) -> tuple[str, ...]:
    """All requests: a change of one is a cause to act."""
    return tuple(token_of(obj, each) for each in REQUESTS)
