"""The stub model server, as any OpenAI client sees it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from goosejobs_local.modelstub import KEPT_REQUESTS, Stub, serve


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with serve() as running:
        yield running


@pytest.fixture
async def client(stub: Stub) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(stub.url) as session:
        yield session


def request(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "stub", "messages": [{"role": "user", "content": prompt}], **more}


async def ask(client: aiohttp.ClientSession, prompt: str, **more: Any) -> tuple[int, dict[str, Any]]:
    async with client.post("/v1/chat/completions", json=request(prompt, **more)) as response:
        return response.status, await response.json()


async def answer(client: aiohttp.ClientSession, prompt: str, **more: Any) -> str:
    _, body = await ask(client, prompt, **more)
    return str(body["choices"][0]["message"]["content"])


async def test_a_whole_answer_comes_with_its_tokens(client: aiohttp.ClientSession) -> None:
    status, body = await ask(client, "stub: answer one two")
    assert (status, body["choices"][0]["message"]["content"]) == (200, "one two")
    assert body["usage"] == {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}


async def test_a_streamed_answer_is_the_same_in_pieces_with_the_tokens_last(
    client: aiohttp.ClientSession,
) -> None:
    asked = request("stub: answer one two", stream=True, stream_options={"include_usage": True})
    async with client.post("/v1/chat/completions", json=asked) as response:
        lines = (await response.text()).split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    said = [choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]]
    assert "".join(said) == "one two"
    assert len(said) > 2
    assert chunks[-1]["usage"]["total_tokens"] == 6
    assert "data: [DONE]" in lines


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("just hello", "Hello from the stub model"),
        ("some text\n  stub: answer found anywhere  \nmore text", "found anywhere"),
        ("stub: answer first\nstub: answer the last counts", "the last counts"),
        (r"stub: answer two\nlines", "two\nlines"),
        ("keep  this\nstub: echo", "keep  this\nstub: echo"),
        ("stub: echo\n<turn-context>\nnow\n</turn-context>", "stub: echo"),
        ("stub: dance", "does not understand `stub: dance`"),
        ("stub: slow down", "does not understand `stub: slow down`"),
    ],
)
async def test_the_prompt_says_what_is_answered(
    prompt: str, said: str, client: aiohttp.ClientSession
) -> None:
    assert said in await answer(client, prompt)


async def test_a_prompt_fails_as_often_as_it_says_and_each_prompt_by_itself(
    client: aiohttp.ClientSession,
) -> None:
    flaky, other = "stub: fail 2 then answer ok", "other\nstub: fail 1 then answer fine"
    statuses = [(await ask(client, prompt))[0] for prompt in (flaky, other, flaky, other, flaky)]
    assert statuses == [500, 500, 500, 200, 200]


async def test_unasked_it_gives_the_plainest_structured_output_that_fits(
    client: aiohttp.ClientSession,
) -> None:
    schema = {
        "type": "object",
        "required": ["level", "kind", "names", "sure"],
        "properties": {
            "level": {"type": "integer", "minimum": 1},
            "kind": {"enum": ["a", "b"]},
            "names": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "sure": {"type": "boolean"},
            "note": {"type": "string"},
        },
    }
    tool = {"type": "function", "function": {"name": "recipe__final_output", "parameters": schema}}
    _, body = await ask(client, "rate this", tools=[tool])
    [call] = body["choices"][0]["message"]["tool_calls"]
    given = json.loads(call["function"]["arguments"])
    assert given == {"level": 1, "kind": "a", "names": ["stub", "stub"], "sure": True}


async def test_a_connection_can_be_dropped_in_the_middle(client: aiohttp.ClientSession) -> None:
    async with client.post("/v1/chat/completions", json=request("stub: drop", stream=True)) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.text()


async def test_what_was_asked_can_be_looked_up_and_only_the_last_is_kept(
    client: aiohttp.ClientSession,
) -> None:
    for number in range(KEPT_REQUESTS + 1):
        await ask(client, f"number {number}\nstub: answer x")
    async with client.get("/stub/requests") as response:
        asked = await response.json()
    assert asked["count"] == KEPT_REQUESTS + 1
    assert [entry["number"] for entry in asked["requests"]] == list(range(2, KEPT_REQUESTS + 2))
    last = asked["requests"][-1]
    assert (last["directive"], last["prompt"]) == ("answer x", f"number {KEPT_REQUESTS}\nstub: answer x")
    assert last["body"]["model"] == "stub"


async def test_a_hanging_answer_does_not_keep_the_server_from_stopping() -> None:
    async with serve() as stub, aiohttp.ClientSession(stub.url) as client:
        hanging = asyncio.create_task(ask(client, "stub: hang"))
        await stub.asked(more_than=0)
    with pytest.raises(aiohttp.ClientError):
        await hanging


async def test_as_a_program_it_prints_its_address_once_it_can_be_reached() -> None:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "goosejobs_local.modelstub", "--port", "0"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert program.stdout is not None
        async with asyncio.timeout(90):
            url = (await program.stdout.readline()).decode().strip()
            async with aiohttp.ClientSession(url) as client, client.get("/v1/models") as response:
                assert [model["id"] for model in (await response.json())["data"]] == ["stub"]
    finally:
        program.kill()
        await program.wait()
