"""What is written down survives, and what cannot be read is not in the way."""

from pathlib import Path

from goosejobs_local import state
from goosejobs_local.state import Recorded, State


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    saved = State(
        ports={"a": 1},
        parts={"x": Recorded(pid=1, birth="b", digest="d", probes=("http://h:1/",), version="", address="h")},
        steps={"s": "d"},
        model="stub",
    )
    state.save(saved, tmp_path / "state.json")
    assert state.load(tmp_path / "state.json") == saved
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_file_that_is_missing_or_half_written_is_an_empty_state(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert state.load(path) == State()
    path.write_text('{"ports": {"a"')
    assert state.load(path) == State()


def test_ports_are_chosen_once_and_each_is_another() -> None:
    one = State()
    one.ensure_ports(f"part{number}" for number in range(200))
    chosen = dict(one.ports)
    assert len(set(chosen.values())) == 200
    one.ensure_ports(["part1", "another"])
    assert {name: one.ports[name] for name in chosen} == chosen


def test_two_platforms_of_one_process_share_no_port_though_none_is_bound_yet() -> None:
    one, other = State(), State()
    one.ensure_ports(f"part{number}" for number in range(400))
    other.ensure_ports(f"part{number}" for number in range(400))
    assert not set(one.ports.values()) & set(other.ports.values())


def test_ports_do_not_run_out_where_many_were_chosen() -> None:
    for _ in range(100):
        one = State()
        one.ensure_ports(map(str, range(100)))
        assert len(set(one.ports.values())) == 100


def test_ports_are_none_that_the_kernel_gives_to_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    one = State()
    one.ensure_ports(map(str, range(50)))
    assert max(one.ports.values()) < first
