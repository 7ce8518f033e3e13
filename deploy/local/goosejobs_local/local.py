"""What `goosejobs up` runs: the platform, a model to ask, the operator and a worker."""

import dataclasses
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from goosejobs_local import baseimage, catalog, platform, processes, sandbox, sides, state
from goosejobs_local import node as nodes
from goosejobs_local.debian import NotDebian
from goosejobs_local.parts import Part
from goosejobs_local.platform import NodeOptions, Platform
from goosejobs_local.processes import Child
from goosejobs_local.progress import Progress, Report
from goosejobs_local.resolve import Resolved, Resolver

BINARIES = (*platform.SERVERS, "goose")
_GRACE_SECONDS = 10.0
_TEXT_LOGS = {"GOOSEJOBS_LOG_FORMAT": "text"}
EXAMPLES = Path(__file__).parent / "examples"


class NoNode(Exception):
    """There can be no node here; str() says why."""


@dataclass(frozen=True)
class Model:
    """Whom goose asks.

    Attributes:
        text: For people.
        stub: Whether it is the stub model.
    """

    text: str
    stub: bool


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The data directory: GOOSEJOBS_HOME, or the place where this user's programs keep their data."""
    if own := environ.get("GOOSEJOBS_HOME"):
        return Path(own).resolve()
    if os.geteuid() == 0:
        # goose then runs as another user, which may not enter root's home.
        return Path("/var/lib/goosejobs-local")
    base = environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share").resolve() / "goosejobs"


def choose_model(environ: Mapping[str, str] = os.environ) -> Model:
    """The provider that the environment names as goose itself reads it, else the stub model."""
    provider, name = environ.get("GOOSE_PROVIDER"), environ.get("GOOSE_MODEL")
    if not provider:
        return Model("stub model; set GOOSE_PROVIDER, GOOSE_MODEL and its key to use a real one", stub=True)
    return Model(f"{provider}, {name or 'its default model'} (from your environment)", stub=False)


def start(home: Path, *, ui: bool, node: bool = False, report: Report, resolver: Resolver) -> Platform:
    """Bring everything up; the data directory's lock must be held.

    If that fails, or is interrupted, what was started here is stopped again.

    Args:
        home: The data directory.
        ui: Whether Temporal's web pages are served.
        node: Whether there is a node, on which pods run.
        report: Told what is going on.
        resolver: Finds the binaries.

    Raises:
        NoNode: There can be no node here.
        Unresolved: A binary cannot be had.
        NotDebian: Another program that a node needs cannot be had.
        SandboxFailed: The node's namespaces cannot be made.
        PartFailed: A part ended or took too long.
    """
    # Once asked for, pages and node stay: a plain `up` would otherwise restart much to take them away.
    recorded = state.load(home / platform.STATE)
    ui, node = ui or bool(recorded.ui), node or bool(recorded.network)
    if node and (reason := sandbox.refused()):
        raise NoNode(reason)
    binaries = resolver.resolve((*BINARIES, *(nodes.BINARIES if node else ())))
    model = choose_model()
    options = _node_options(binaries["goose"], model, report) if node else None
    built = Platform(home, binaries, ui=ui, options=options)
    before = {child for child in built.children() if child.alive}
    built.state.model = model.text
    built.state.ui = built.temporal.ui_url if ui else ""
    try:
        more = _sides(built, binaries["goose"], model)
        built.up(more, report)
    except BaseException as error:
        with undisturbed():
            _undo(built, before, keep_logs=not isinstance(error, KeyboardInterrupt))
        raise
    return built


def gather(*, everything: bool, report: Report) -> dict[str, Resolved]:
    """Get the programs into the cache; raises as `start` does.

    Args:
        everything: What a node and tests need, too: all programs, and goose's image if a node can run here.
        report: Told what is going on.
    """
    resolved = Resolver(report).resolve(catalog.load() if everything else BINARIES)
    if everything and not sandbox.refused():
        nodes.tools(report)
        baseimage.goose(resolved["goose"], report)
    return resolved


def _undo(built: Platform, before: set[Child], *, keep_logs: bool) -> None:
    """Stop what was not there before; if nothing was, everything goes, so that nothing is left behind."""
    if before:
        processes.stop([child for child in built.children() if child not in before], _GRACE_SECONDS)
    else:
        platform.down(built.home, keep=["logs"] if keep_logs else [])


@contextmanager
def undisturbed() -> Iterator[None]:
    """Nothing keeps us from cleaning up: not a second Ctrl-C, nor a terminal that goes away meanwhile."""
    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ending}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sides(built: Platform, goose: Resolved, model: Model) -> list[Part]:
    stub = sides.model(built.port("model"), built.address)
    to = sides.connection(built.kubeconfig, built.temporal.address)
    recipes = built.home / "recipes"
    recipes.mkdir(parents=True, exist_ok=True)
    operator = sides.operator(built.port("operator"), to, **_TEXT_LOGS)
    if built.node:
        worker = _job_worker(built, to, recipes, goose.version, model)
    else:
        worker = sides.worker(
            built.port("worker"),
            to,
            goose=sides.reachable(goose.path, built.home / "bin"),
            data=built.home / "worker",
            recipes=recipes,
            # `down` removes the runs with everything else: there is nothing to wait for.
            GOOSEJOBS_DRAIN_SECONDS="0",
            **_TEXT_LOGS,
            **(sides.stub_provider(stub.address) if model.stub else {}),
        )
    wanted = [*([stub] if model.stub else []), _kept(operator), _kept(worker)]
    if not model.stub:
        built.drop("model")
    return wanted


def _node_options(goose: Resolved, model: Model, report: Report) -> NodeOptions:
    """A node that has an image with goose; where none can be made, it gets goose's own from outside."""
    tools = nodes.tools(report)
    try:
        images = {nodes.GOOSE_IMAGE_STEP: baseimage.goose(goose, report)}
    except NotDebian as error:
        images = {}
        report(Progress(nodes.GOOSE_IMAGE_STEP, f"{error}: pods pull goose's own image", finished=True))
    return NodeOptions(tools, images=images, outside=not (model.stub and images))


def _job_worker(built: Platform, to: Mapping[str, str], recipes: Path, version: str, model: Model) -> Part:
    """A worker whose gooses run in pods."""
    provider = {name: os.environ[name] for name in ("GOOSE_PROVIDER", "GOOSE_MODEL") if os.environ.get(name)}
    if model.stub:
        provider = sides.stub_provider(f"http://{built.address}:{built.port('model')}")
    ours = built.node and nodes.GOOSE_IMAGE_STEP in built.node.images
    template = built.home / "pool.yaml"
    state.write_whole(
        template, sides.job_template(baseimage.goose_reference(version) if ours else "", provider)
    )
    return sides.job_worker(built.port("worker"), to, template=template, recipes=recipes, **_TEXT_LOGS)


def _kept(part: Part) -> Part:
    return dataclasses.replace(part, argv=(sys.executable, "-m", "goosejobs_local.keeper", *part.argv))
