"""What a worker answers when asked whether it is well."""

import asyncio

import pytest

from goosejobs_worker.health import Health, serve
from goosejobs_worker.metrics import RUNNING


async def ask(port: int, request: bytes) -> tuple[str, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return head.splitlines()[0].removeprefix("HTTP/1.1 ") if head else "", body


async def get(port: int, path: str) -> tuple[str, str]:
    return await ask(port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


async def test_it_is_ready_only_while_it_polls() -> None:
    health = Health()
    async with serve(health, "127.0.0.1", 0) as port:
        assert await get(port, "/readyz") == ("503 Service Unavailable", "starting\n")
        health.set("polling goosejobs-default", ready=True)
        assert await get(port, "/readyz") == ("200 OK", "polling goosejobs-default\n")
        health.set("draining", ready=False)
        assert await get(port, "/readyz") == ("503 Service Unavailable", "draining\n")


async def test_one_that_waits_for_temporal_or_drains_is_not_to_be_restarted() -> None:
    health = Health()
    async with serve(health, "127.0.0.1", 0) as port:
        assert await get(port, "/healthz") == ("200 OK", "starting\n")
        health.set("draining", ready=False)
        assert await get(port, "/healthz") == ("200 OK", "draining\n")


async def test_metrics_are_served_in_prometheus_text() -> None:
    RUNNING.set(0)
    async with serve(Health(), "127.0.0.1", 0) as port:
        status, body = await get(port, "/metrics")
    assert status == "200 OK"
    assert "# TYPE goosejobs_worker_attempts_running gauge" in body


@pytest.mark.parametrize("request_", [b"\r\n\r\n", b"GET\r\n\r\n", b"\xff \xff\r\n\r\n", b"x" * 70_000])
async def test_nonsense_is_not_answered_and_harms_nothing(request_: bytes) -> None:
    async with serve(Health(), "127.0.0.1", 0) as port:
        assert await ask(port, request_) == ("", "")
        assert (await get(port, "/other"))[0] == "404 Not Found"
