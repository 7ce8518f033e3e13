"""What Temporal keeps when there are keys, and what happens when keys come, change and are missing."""

import base64
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client

from goosejobs.clients.codec import ENCODING, KEY_ID, Keyring
from goosejobs_local.resolve import Resolver
from support import schedules, stored
from support.objects import Eventually, Object, apply, condition, ended, get, goosejob, is_true, recipe
from support.rig import Handle, Rig
from support.schedules import schedule_id

NAMESPACE = "default"


@pytest.fixture(scope="module")
def rig(own_platform: Rig) -> Rig:
    return own_platform


@pytest.fixture
async def plain(rig: Rig) -> Client:
    """A client without a key."""
    return await schedules.connect(rig.temporal_address)


@dataclass(frozen=True)
class Sides:
    """Operator and worker with the same keys."""

    operator: Handle
    worker: Handle


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def id_of(key: str) -> str:
    return Keyring.parse(key).keys[0].id


def key_file(rig: Rig, *keys: str) -> str:
    file = rig.home / f"keys-{uuid.uuid4().hex}"
    file.touch(mode=0o600)
    file.write_text("".join(f"{key}\n" for key in keys))
    return str(file)


@contextmanager
def operator(rig: Rig, *keys: str) -> Iterator[Handle]:
    """An operator with these keys that looks at everything every second."""
    env: Any = {"GOOSEJOBS_CODEC_KEY_FILE": key_file(rig, *keys)} if keys else {}
    with rig.start_operator(GOOSEJOBS_RESYNC_SECONDS="1", **env) as handle:
        yield handle


@contextmanager
def worker(rig: Rig, pool: str, *keys: str) -> Iterator[Handle]:
    """A worker with these keys, by value."""
    env: Any = {"GOOSEJOBS_CODEC_KEY": ",".join(keys)} if keys else {}
    with rig.start_worker(pool=pool, **env) as handle:
        yield handle


@contextmanager
def sides(rig: Rig, pool: str, *keys: str) -> Iterator[Sides]:
    with operator(rig, *keys) as one, worker(rig, pool, *keys) as other:
        yield Sides(one, other)


def job(name: str, pool: str, prompt: str = "stub: answer hello", **spec: Any) -> Object:
    return goosejob(name, prompt, execution={"pool": pool, "mode": "Process"}, **spec)


def remove(rig: Rig, *names: str) -> None:
    rig.kubectl("delete", "-n", NAMESPACE, "goosejob", *names)


def logs(both: Sides) -> str:
    return both.operator.log + both.worker.log


def tracebacks(log: str) -> list[str]:
    """The lines with one; but for a workflow task that a machine held up, which the SDK has tried again."""
    return [line for line in log.splitlines() if "Traceback" in line and "[TMPRL1101]" not in line]


@pytest.mark.parametrize("side", ["goosejobs_operator", "goosejobs_worker"])
@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("GOOSEJOBS_CODEC_KEY", "c2hvcnQ=", "key 1 has 5 bytes instead of 32"),
        ("GOOSEJOBS_CODEC_KEY_FILE", "/no/keys", "cannot read /no/keys: No such file or directory"),
    ],
)
def test_neither_side_starts_with_a_key_that_is_none(side: str, variable: str, value: str, says: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", side],
        env={"PATH": os.environ["PATH"], variable: value},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert ended.returncode in {1, 2}
    (sentence,) = ended.stderr.splitlines()
    assert f"{variable}: {says}" in sentence
    assert "c2hvcnQ" not in sentence


# what can be read


def tell_tales(pool: str, status: int) -> tuple[list[Object], list[str]]:
    """GooseJobs with something to find in everything that people can write, and the words to look for.

    The status is the model's answer to one of them; it makes the message of that failure one of its own.
    """
    words = {
        part: f"{part}-{uuid.uuid4().hex}" for part in ("title", "instructions", "prompt", "value", "path")
    }
    parameters = [{"key": "word", "input_type": "string", "requirement": "required", "description": "d"}]
    text = {"title": words["title"], "instructions": words["instructions"], "parameters": parameters}
    prompt = f"{words['prompt']} {{{{ word }}}}\nstub: "
    values = [{"name": "word", "value": words["value"]}]
    told = recipe(f"{prompt}answer answered-{{{{ word }}}}", **text)
    failing = recipe(f"{prompt}status {status}", **text)
    jobs = [
        job("told", pool, schedule="@every 2s", recipe={"inline": told}, parameters=values),
        job("once", pool, recipe={"inline": told}, parameters=values),
        job("failing", pool, recipe={"inline": failing}, parameters=values, retry={"maxAttempts": 1}),
        job("missing", pool, recipe={"path": f"{words['path']}.yaml"}),
    ]
    return jobs, list(words.values())


async def runs_of(rig: Rig, eventually: Eventually) -> list[str]:
    """Wait until each has come to its end; what came of them, to look for that too."""
    told, once, failing = [
        await ended(rig.kubectl, eventually, NAMESPACE, name) for name in ("told", "once", "failing")
    ]
    assert (told["outcome"], once["outcome"], failing["outcome"]) == ("Succeeded", "Succeeded", "Failed")
    stalled = await eventually(lambda: condition(get(rig.kubectl, NAMESPACE, "missing"), "Stalled"))
    assert "cannot read" in stalled["message"]
    return [told["result"], once["result"], failing["message"], "cannot read"]


def found(words: list[str], where: bytes) -> set[str]:
    return {word for word in words if word.encode() in where}


async def test_without_a_key_all_can_be_read_in_temporal(
    rig: Rig, eventually: Eventually, pool: str, plain: Client
) -> None:
    """The other side of the next test: there is something to find, and the search finds it."""
    jobs, words = tell_tales(pool, 400)
    with sides(rig, pool):
        apply(rig.kubectl, NAMESPACE, *jobs)
        words += await runs_of(rig, eventually)

        async def all_told() -> bool:
            """Temporal's index, by which everything is found, lags a little."""
            return found(words, await stored.told(plain)) == set(words)

        await eventually(all_told)
        await eventually(lambda: found(words, stored.kept(rig.platform.temporal.home)) == set(words))
        remove(rig, "told", "once", "failing", "missing")


async def test_with_a_key_runs_end_as_ever_and_nothing_of_them_can_be_read_in_temporal(
    rig: Rig, eventually: Eventually, pool: str, plain: Client
) -> None:
    jobs, words = tell_tales(pool, 422)
    key = new_key()
    with sides(rig, pool, key) as both:
        apply(rig.kubectl, NAMESPACE, *jobs)
        words += (await runs_of(rig, eventually))[:3]

        async def much() -> bytes | None:
            """Temporal's index, by which everything is found, lags a little."""
            told = await stored.told(plain)
            return told if told.count(ENCODING) > 20 else None

        assert found([*words, key], await eventually(much)) == set()
        assert found([*words, key], stored.kept(rig.platform.temporal.home)) == set()
        assert found([key], logs(both).encode()) == set()
        remove(rig, "told", "once", "failing", "missing")
    assert tracebacks(logs(both)) == []


async def test_who_has_the_key_reads_what_temporals_own_tools_show(
    rig: Rig, eventually: Eventually, pool: str
) -> None:
    key, temporal = new_key(), str(Resolver().resolve(["temporal"])["temporal"].path)
    with sides(rig, pool, key):
        apply(rig.kubectl, NAMESPACE, job("shown", pool, "stub: answer read me"))
        await ended(rig.kubectl, eventually, NAMESPACE, "shown")
        workflow = await eventually(lambda: get(rig.kubectl, NAMESPACE, "shown")["status"]["scheduleId"])
        remove(rig, "shown")
    argv = (temporal, "workflow", "show", "--workflow-id", workflow, "--output", "json")
    shown = run(*argv, "--address", rig.temporal_address)
    assert "read me" not in shown
    readable = run(sys.executable, "-m", "goosejobs.decode", stdin=shown, GOOSEJOBS_CODEC_KEY=key)
    assert "stub: answer read me" in readable
    assert '"result": "read me"' in readable


def run(*argv: str, stdin: str = "", **env: str) -> str:
    """What a program writes."""
    env = {"PATH": os.environ["PATH"], "TEMPORAL_CONFIG_FILE": os.devnull, **env}
    return subprocess.run(argv, input=stdin, env=env, capture_output=True, text=True, check=True).stdout


# keys that change


async def argument(client: Client, id_: str) -> Payload:
    """The schedule's argument as it stands in Temporal."""
    found = await schedules.schedule(client, id_)
    assert found is not None
    (payload,) = found.action.start_workflow.input.payloads
    return payload


async def has_key(client: Client, id_: str, key: str | None) -> bool:
    payload = await argument(client, id_)
    if key is None:
        return payload.metadata["encoding"] == b"json/plain"
    return payload.metadata.get(KEY_ID) == id_of(key).encode()


async def succeeds_again(rig: Rig, eventually: Eventually, name: str) -> None:
    def count() -> int:
        counts: dict[str, int] = get(rig.kubectl, NAMESPACE, name)["status"].get("counts", {})
        return counts.get("succeeded", 0)

    before = count()
    await eventually(lambda: count() >= before + 2)


async def test_keys_come_and_change_while_runs_go_on(
    rig: Rig, eventually: Eventually, pool: str, plain: Client
) -> None:
    old, new = new_key(), new_key()
    name = "rotating"
    with sides(rig, pool):
        apply(rig.kubectl, NAMESPACE, job(name, pool, schedule="@every 2s"))
        await succeeds_again(rig, eventually, name)
        id_ = schedule_id(get(rig.kubectl, NAMESPACE, name))
        assert await has_key(plain, id_, None)
    for keys in ((old,), (new, old), (new,)):
        with sides(rig, pool, *keys) as both:
            await eventually(lambda first=keys[0]: has_key(plain, id_, first))
            payload = await argument(plain, id_)
            await succeeds_again(rig, eventually, name)  # meanwhile everything is looked at again and again
            assert await argument(plain, id_) == payload
            updates = 0 if keys == (new,) else 1
            # The operator says so once Temporal has answered it, and Temporal was asked past it.
            await eventually(
                lambda one=both.operator, times=updates: (
                    one.log.count("updated action of its schedule") == times
                )
            )
            assert "updated spec" not in both.operator.log
        assert tracebacks(logs(both)) == []
    assert get(rig.kubectl, NAMESPACE, name)["status"]["counts"].get("failed", 0) == 0
    with sides(rig, pool, new):
        remove(rig, name)


async def test_a_run_that_started_under_the_old_key_ends_under_the_new_one(
    rig: Rig, eventually: Eventually, pool: str, plain: Client
) -> None:
    old, new = new_key(), new_key()
    with operator(rig, old):
        apply(rig.kubectl, NAMESPACE, job("between", pool))
        obj = await eventually(
            lambda: (o := get(rig.kubectl, NAMESPACE, "between")) and is_true(o, "Ready") and o
        )
        workflow = obj["status"]["scheduleId"]
        handle = plain.get_workflow_handle(workflow)
        raw = b"".join([event.SerializeToString() async for event in handle.fetch_history_events()])
        assert found([id_of(old), id_of(new)], raw) == {id_of(old)}
    with sides(rig, pool, new, old):
        assert (await ended(rig.kubectl, eventually, NAMESPACE, "between"))["outcome"] == "Succeeded"
        raw = b"".join([event.SerializeToString() async for event in handle.fetch_history_events()])
        assert found([id_of(old), id_of(new)], raw) == {id_of(old), id_of(new)}
        remove(rig, "between")


# keys that are missing


@pytest.mark.parametrize("keys", [0, 1])
async def test_an_operator_without_the_key_says_so_and_leaves_the_schedule_as_it_is(
    rig: Rig, eventually: Eventually, pool: str, plain: Client, keys: int
) -> None:
    key, name = new_key(), f"locked-{keys}"
    spec = job(name, pool, schedule="0 8 1 1 *")

    def encrypted() -> Object | None:
        """That it cannot be read, perhaps after what a Temporal that was slow at first was told as."""
        said = condition(get(rig.kubectl, NAMESPACE, name), "Ready")
        sentence = f"encrypted with key '{id_of(key)}', which is not here"
        return said if said and said["status"] == "False" and sentence in said["message"] else None

    with operator(rig, key):
        apply(rig.kubectl, NAMESPACE, spec)
        await eventually(lambda: is_true(get(rig.kubectl, NAMESPACE, name), "Ready"))
        id_ = schedule_id(get(rig.kubectl, NAMESPACE, name))
        before = await argument(plain, id_)
    with operator(rig, *(new_key() for _ in range(keys))) as blind:
        said = await eventually(encrypted)
        assert said["reason"] == "TemporalUnavailable"
        assert "GOOSEJOBS_CODEC_KEY_FILE" in said["message"]
        spec["spec"]["recipe"]["inline"]["title"] = "changed"
        apply(rig.kubectl, NAMESPACE, spec)
        generation = get(rig.kubectl, NAMESPACE, name)["metadata"]["generation"]
        await eventually(
            lambda: get(rig.kubectl, NAMESPACE, name)["status"]["observedGeneration"] == generation,
            timeout=90,
        )
        assert await argument(plain, id_) == before
        assert blind.alive
    assert tracebacks(blind.log) == []
    with operator(rig, key):
        await eventually(lambda: is_true(get(rig.kubectl, NAMESPACE, name), "Ready"))
        assert await argument(plain, id_) != before  # the change is made up for
        remove(rig, name)


async def test_what_is_deleted_goes_though_its_key_is_missing(
    rig: Rig, eventually: Eventually, pool: str, plain: Client
) -> None:
    with operator(rig, new_key()):
        apply(rig.kubectl, NAMESPACE, job("going", pool, schedule="0 8 1 1 *"))
        await eventually(lambda: is_true(get(rig.kubectl, NAMESPACE, "going"), "Ready"))
        id_ = schedule_id(get(rig.kubectl, NAMESPACE, "going"))
    with operator(rig, new_key()):
        rig.kubectl("delete", "-n", NAMESPACE, "goosejob", "going", "--timeout=180s")
        assert await schedules.schedule(plain, id_) is None


async def test_a_worker_without_the_key_says_so_and_another_one_takes_the_run(
    rig: Rig, eventually: Eventually, pool: str
) -> None:
    key = new_key()
    with operator(rig, key):
        with worker(rig, pool, new_key()) as blind:
            apply(rig.kubectl, NAMESPACE, job("waiting", pool))
            sentence = f"encrypted with key '{id_of(key)}', which is not here"
            await eventually(lambda: sentence in blind.log)
            assert blind.alive
        assert tracebacks(blind.log) == []
        with worker(rig, pool, key):
            assert (await ended(rig.kubectl, eventually, NAMESPACE, "waiting"))["outcome"] == "Succeeded"
        remove(rig, "waiting")
