"""Makes what Temporal's own tools show readable for people, with the keys of the operator or a worker.

`temporal workflow show --workflow-id ID --output json | python -m goosejobs.decode`, where the second one has
GOOSEJOBS_CODEC_KEY_FILE: in the operator's pod, say, by `kubectl exec -i`. Nothing listens anywhere for it.
"""

import asyncio
import base64
import binascii
import json
import sys
from typing import Any

from temporalio.api.common.v1 import Payload

from goosejobs.clients.codec import Codec, Undecodable
from goosejobs.settings import InvalidSettings, Settings


def main() -> None:
    """Read JSON from standard input and write it with every payload decrypted; ends with 1 if that fails."""
    try:
        shown = json.load(sys.stdin)
        readable = asyncio.run(decoded(shown, Codec(Settings.load().keyring)))
    except (ValueError, InvalidSettings, Undecodable) as error:
        sys.exit(f"goosejobs.decode: {error}")
    json.dump(readable, sys.stdout, indent=2, ensure_ascii=False)
    print()


async def decoded(value: Any, codec: Codec) -> Any:
    """The same JSON with each payload in it replaced by what it holds.

    Args:
        value: As protobuf messages are written in JSON: a payload is an object with `metadata` and `data`,
            whose values are in base64.
        codec: Has the keys.

    Raises:
        Undecodable: A key is missing, or a payload was changed.
    """
    if isinstance(value, list):
        return [await decoded(each, codec) for each in value]
    if not isinstance(value, dict):
        return value
    payload = _payload(value)
    if payload is None:
        return {name: await decoded(each, codec) for name, each in value.items()}
    (plain,) = await codec.decode([payload])
    return _shown(plain)


def _payload(value: dict[str, Any]) -> Payload | None:
    metadata, data = value.get("metadata"), value.get("data", "")
    if not isinstance(metadata, dict) or "encoding" not in metadata or not isinstance(data, str):
        return None
    try:
        binary = {name: base64.b64decode(each, validate=True) for name, each in metadata.items()}
        return Payload(metadata=binary, data=base64.b64decode(data, validate=True))
    except (TypeError, binascii.Error):
        return None


def _shown(payload: Payload) -> Any:
    encoding = payload.metadata["encoding"].decode()
    if encoding == "binary/null":
        return None
    if encoding.startswith("json/"):
        return json.loads(payload.data)
    return {"encoding": encoding, "bytes": len(payload.data)}


if __name__ == "__main__":
    main()
