r"""A model server that needs no model: it answers as the prompt tells it to.

It speaks the part of OpenAI's API that goose uses (`GET /v1/models`, `POST /v1/chat/completions`, streaming
or not, with token counts), so that the real goose can be driven through every ending it has. A line
`stub: <directive>` anywhere in a user message says what to do. The last such line of the last user message
that has one counts, because goose adds user messages of its own. Without one it answers something friendly,
or, where the recipe wants structured output, gives the plainest one that fits.

| directive                     | what the "model" does                                                   |
|-------------------------------|-------------------------------------------------------------------------|
| `stub: answer TEXT`           | answers TEXT; `\n` in it is a line break                                |
| `stub: echo`                  | answers the exact text of that user message                             |
| `stub: output JSON`           | gives JSON to the recipe's final-output tool, then answers `done`       |
| `stub: no-output`             | answers in words, never calls the final-output tool                     |
| `stub: shell COMMAND`         | calls the shell tool, then answers with what the tool returned          |
| `stub: slow SECONDS`          | streams an answer over that many seconds                                |
| `stub: hang`                  | accepts the request and never answers                                   |
| `stub: status CODE`           | answers that HTTP status with an error body, every time                 |
| `stub: drop`                  | closes the connection in the middle of the stream                       |
| `stub: turns`                 | calls the shell tool (`true`) again and again, without end              |
| `stub: fail N then DIRECTIVE` | answers 500 to the first N requests with this prompt, then DIRECTIVE    |
| `stub: fail N by FIRST then DIRECTIVE` | does FIRST (`status 429`) with the first N requests            |

`fail` counts requests, and goose asks four times before it gives up: `fail 4` fails one run of goose.

`GET /stub/requests` returns `{"count": all so far, "requests": [the last ones, oldest first]}`; each has
`number`, `time`, `directive`, `prompt` (the user message that held the directive) and `body` (as received).
Tokens are words: of the prompt for the input, of the answer for the output.

Run it with `python -m goosejobs_local.modelstub --port 0`; it prints its address once it accepts connections.
Tests use `async with serve() as stub: ... stub.url`.
"""

import argparse
import asyncio
import contextlib
import json
import re
import sys
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

MODEL: Final = "stub"
FRIENDLY: Final = "Hello from the stub model. Nothing was asked of me by a `stub:` line, so all is well."
FINAL_OUTPUT: Final = "recipe__final_output"
KEPT_REQUESTS: Final = 32
MAX_BODY: Final = 4 * 1024 * 1024

_DIRECTIVE = re.compile(r"^[ \t]*stub:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_TURN_CONTEXT = re.compile(r"\n?<turn-context>.*</turn-context>\s*\Z", re.DOTALL)
"""What goose appends to the user's text: the time, the folder, the turns left."""
_FAIL = re.compile(r"fail\s+(\d+)(?:\s+by\s+(.+?))?\s+then\s+(.+)")


@dataclass(frozen=True)
class Conversation:
    """What of a request decides the answer."""

    prompt: str
    """The user message with the directive, or the last one; exactly as sent."""
    directive: str
    """What stands behind `stub:`; empty when there is none."""
    tool_results: Sequence[str]
    """What tools returned since the prompt."""
    tools: Mapping[str, Mapping[str, Any]]
    """The tools the model may call: the JSON schema of its arguments by the tool's name."""

    def tool(self, ending: str, default: str) -> str:
        """The offered tool whose name ends so (goose prefixes names with the extension's)."""
        return next((name for name in self.tools if name.endswith(ending)), default)


@dataclass(frozen=True)
class ToolCall:
    """The model's wish to call a tool; `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """What the model does: an HTTP error, or text and at most one tool call."""

    text: str = ""
    call: ToolCall | None = None
    status: int = 200
    seconds: float = 0.0
    """Over how long the text is streamed."""
    hang: bool = False
    drop: bool = False


@dataclass
class Stub:
    """A running stub: where it is, and what it was asked."""

    url: str = ""
    """`http://host:port`, which is goose's OPENAI_HOST."""
    count: int = 0
    requests: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))
    failed: Counter[str] = field(default_factory=Counter)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def asked(self, *, more_than: int) -> None:
        """Wait until more chat requests than that have come."""
        while self.count <= more_than:
            self.arrived.clear()
            await self.arrived.wait()

    def decide(self, body: Mapping[str, Any]) -> Reply:
        """Record a chat request and choose the reply to it."""
        talk = read_conversation(body)
        self.count += 1
        seen = {"number": self.count, "time": time.time(), "directive": talk.directive, "prompt": talk.prompt}
        self.requests.append({**seen, "body": body})
        self.arrived.set()
        directive = talk.directive
        if fail := _FAIL.fullmatch(directive):
            self.failed[talk.prompt] += 1
            failing = self.failed[talk.prompt] <= int(fail[1])
            directive = (fail[2] or "status 500") if failing else fail[3]
        return reply_to(directive, talk)


def _text(content: object) -> str:
    """The text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def read_conversation(body: Mapping[str, Any]) -> Conversation:
    """Find the prompt, its directive and what tools returned since."""
    messages = body.get("messages", [])
    users = [i for i, message in enumerate(messages) if message.get("role") == "user"]
    asking = [i for i in users if _DIRECTIVE.search(_text(messages[i].get("content")))] or users[-1:]
    at = asking[-1] if asking else len(messages)
    prompt = _TURN_CONTEXT.sub("", _text(messages[at].get("content"))) if asking else ""
    return Conversation(
        prompt=prompt,
        directive=(_DIRECTIVE.findall(prompt) or [""])[-1],
        tool_results=[_text(m.get("content")) for m in messages[at:] if m.get("role") == "tool"],
        tools={
            tool["function"]["name"]: tool["function"].get("parameters") or {}
            for tool in body.get("tools") or []
            if "function" in tool
        },
    )


def _output(talk: Conversation, rest: str) -> Reply:
    if talk.tool_results:
        return Reply("done")
    return Reply(call=ToolCall(talk.tool("final_output", FINAL_OUTPUT), rest))


def _shell(talk: Conversation, rest: str) -> Reply:
    if talk.tool_results:
        return Reply(talk.tool_results[-1])
    return Reply(call=ToolCall(talk.tool("shell", "shell"), json.dumps({"command": rest})))


def _turns(talk: Conversation, _rest: str) -> Reply:
    command = f"true {len(talk.tool_results) + 1}"  # never twice the same: goose may stop a repeated call
    return Reply(call=ToolCall(talk.tool("shell", "shell"), json.dumps({"command": command})))


def _friendly(talk: Conversation) -> Reply:
    schema = talk.tools.get(FINAL_OUTPUT)
    return Reply(FRIENDLY) if schema is None else _output(talk, json.dumps(specimen(schema)))


def specimen(schema: Mapping[str, Any]) -> Any:
    """The plainest value that a JSON schema allows: no optional properties, no more items than needed."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {name: specimen(properties.get(name, {})) for name in schema.get("required", [])}
        case "array":
            return [specimen(schema.get("items", {}))] * schema.get("minItems", 0)
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return True
        case "null":
            return None
    return "stub".ljust(schema.get("minLength", 0), "!")


_REPLIES: Final[Mapping[str, Callable[[Conversation, str], Reply]]] = {
    "answer": lambda _, rest: Reply(rest.replace("\\n", "\n")),
    "echo": lambda talk, _: Reply(talk.prompt),
    "output": _output,
    "no-output": lambda _, __: Reply("I would rather say it in words."),
    "shell": _shell,
    "slow": lambda _, rest: Reply("This answer took its time, and here is its end.", seconds=float(rest)),
    "hang": lambda _, __: Reply(hang=True),
    "status": lambda _, rest: Reply(status=int(rest)),
    "drop": lambda _, __: Reply("This answer will not come to", drop=True),
    "turns": _turns,
}


def reply_to(directive: str, talk: Conversation) -> Reply:
    """The reply that a directive asks for; pure."""
    verb, _, rest = directive.partition(" ")
    if not verb:
        return _friendly(talk)
    try:
        return _REPLIES[verb](talk, rest.strip())
    except (KeyError, ValueError):
        return Reply(f"The stub model does not understand `stub: {directive}`.")


def _usage(body: Mapping[str, Any], reply: Reply) -> dict[str, int]:
    spoken = read_conversation(body).prompt.split()
    answered = (reply.text + (f" {reply.call.arguments}" if reply.call else "")).split()
    return {
        "prompt_tokens": len(spoken),
        "completion_tokens": len(answered),
        "total_tokens": len(spoken) + len(answered),
    }


def _message(reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.call:
        function = {"name": reply.call.name, "arguments": reply.call.arguments}
        call_id = f"call_{uuid.uuid4().hex}"
        message["tool_calls"] = [{"index": 0, "id": call_id, "type": "function", "function": function}]
    return message


def _pieces(reply: Reply) -> list[dict[str, Any]]:
    """The message as streamed deltas: the text in at most 16 pieces, a tool call whole."""
    whole = _message(reply)
    text = whole.pop("content")
    size = max(1, -(-len(text) // 16))
    deltas = [{"role": "assistant", "content": text[at : at + size]} for at in range(0, len(text), size)]
    return [*deltas, whole] if reply.call else deltas or [{"role": "assistant", "content": ""}]


async def _stream(request: web.Request, body: Mapping[str, Any], reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    head = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion.chunk",
        "model": MODEL,
        "created": 0,
    }

    async def send(choices: list[dict[str, Any]], **more: Any) -> None:
        await response.write(f"data: {json.dumps({**head, 'choices': choices, **more})}\n\n".encode())

    pieces = _pieces(reply)
    for piece in pieces:
        await send([{"index": 0, "delta": piece, "finish_reason": None}])
        await asyncio.sleep(reply.seconds / len(pieces))
    if reply.drop:
        if request.transport is not None:
            request.transport.abort()
        return response
    await send([{"index": 0, "delta": {}, "finish_reason": "tool_calls" if reply.call else "stop"}])
    if (body.get("stream_options") or {}).get("include_usage"):
        await send([], usage=_usage(body, reply))
    await response.write(b"data: [DONE]\n\n")
    return response


def _whole(body: Mapping[str, Any], reply: Reply) -> web.Response:
    reason = "tool_calls" if reply.call else "stop"
    choice = {"index": 0, "message": _message(reply), "finish_reason": reason}
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion", "model": MODEL, "created": 0}
    return web.json_response({**head, "choices": [choice], "usage": _usage(body, reply)})


def application(stub: Stub) -> web.Application:
    """The HTTP application around a `Stub`."""

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        reply = stub.decide(body)
        if reply.hang:
            await asyncio.Event().wait()
        if reply.status != web.HTTPOk.status_code:
            error = {"message": f"the stub was told to answer {reply.status}", "type": "stub_error"}
            return web.json_response({"error": error}, status=reply.status)
        return await _stream(request, body, reply) if body.get("stream") else _whole(body, reply)

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def requests(_: web.Request) -> web.Response:
        return web.json_response({"count": stub.count, "requests": list(stub.requests)})

    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/stub/requests", requests)
    return app


@contextlib.asynccontextmanager
async def serve(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Stub]:
    """Serve a stub while the context is open.

    Args:
        host: The address to listen at; loopback, since anybody who reaches it may use it.
        port: 0 chooses a free one.

    Raises:
        OSError: The address cannot be listened at.
    """
    stub = Stub()
    # A client that goes away, or the end of the context, must end a hanging or slow answer at once.
    runner = web.AppRunner(
        application(stub), access_log=None, handler_cancellation=True, shutdown_timeout=0.2
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        stub.url = f"http://{host}:{runner.addresses[0][1]}"
        yield stub
    finally:
        await runner.cleanup()


async def _serve_forever(host: str, port: int) -> None:
    async with serve(host, port) as stub:
        print(stub.url, flush=True)  # the one line whoever started this waits for
        await asyncio.Event().wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted; the exit code is 1 when the address is taken."""
    parser = argparse.ArgumentParser(prog="goosejobs_local.modelstub", description="A scripted model server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) chooses a free one")
    options = parser.parse_args(argv)
    try:
        asyncio.run(_serve_forever(options.host, options.port))
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        print(f"The stub model cannot listen at {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
