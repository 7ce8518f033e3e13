"""What Temporal's tools show, made readable with the keys."""

import base64
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.exceptions import ApplicationError

from goosejobs import decode
from goosejobs.clients import codec
from goosejobs.clients.codec import Codec, Keyring, MissingKey

KEY = base64.b64encode(os.urandom(32)).decode()
KEYRING = Keyring.parse(KEY)


async def event() -> dict[str, Any]:
    """A failed run's last event, as `temporal workflow show --output json` has it."""
    written = HistoryEvent(event_id=7)
    failure = written.workflow_execution_failed_event_attributes.failure
    await codec.data_converter(KEYRING).encode_failure(
        ApplicationError("it was 401", {"attempt": 1}), failure
    )
    return MessageToDict(written)


async def test_payloads_are_replaced_by_what_they_hold() -> None:
    readable = await decode.decoded({"events": [await event()]}, Codec(KEYRING))
    (shown,) = readable["events"]
    failure = shown["workflowExecutionFailedEventAttributes"]["failure"]
    assert failure["encodedAttributes"]["message"] == "it was 401"
    assert failure["applicationFailureInfo"]["details"]["payloads"] == [{"attempt": 1}]
    assert shown["eventId"] == "7"


async def test_what_was_not_encrypted_is_made_readable_too() -> None:
    plain = [
        Payload(metadata={"encoding": b"json/plain"}, data=b'{"a": 1}'),
        Payload(metadata={"encoding": b"binary/null"}),
        Payload(metadata={"encoding": b"binary/plain"}, data=b"xyz"),
    ]
    shown = await decode.decoded([MessageToDict(each) for each in plain], Codec(Keyring()))
    assert shown == [{"a": 1}, None, {"encoding": "binary/plain", "bytes": 3}]


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        "text",
        1,
        None,
        {"metadata": {"name": "x"}},
        {"metadata": {"encoding": 5}, "data": ""},
        {"data": "eA=="},
    ],
)
async def test_what_is_no_payload_stays_as_it_is(value: Any) -> None:
    assert await decode.decoded(value, Codec(KEYRING)) == value


async def test_a_missing_key_is_told() -> None:
    with pytest.raises(MissingKey):
        await decode.decoded(await event(), Codec(Keyring()))


def command(text: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "goosejobs.decode"],
        input=text,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


async def test_the_command_reads_and_writes_json() -> None:
    done = command(json.dumps(await event()), GOOSEJOBS_CODEC_KEY=KEY)
    assert done.returncode == 0, done.stderr
    assert "it was 401" in done.stdout
    assert json.loads(done.stdout)["eventId"] == "7"


@pytest.mark.parametrize(
    ("text", "env", "says"),
    [
        ("no JSON", {}, "Expecting value"),
        ("{}", {"GOOSEJOBS_CODEC_KEY": "c2hvcnQ="}, "GOOSEJOBS_CODEC_KEY: key 1 has 5 bytes"),
        (None, {}, "which is not here (there is: none)"),
    ],
)
async def test_the_command_says_in_a_sentence_why_it_cannot(
    text: str | None, env: dict[str, str], says: str
) -> None:
    done = command(json.dumps(await event()) if text is None else text, **env)
    assert done.returncode == 1
    assert done.stderr.startswith("goosejobs.decode: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
