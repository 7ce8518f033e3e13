"""A platform with a real node, and with a worker whose gooses run in pods on it."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from bench.ground import Ground, private_home
from bench.rows import NotMeasured
from goosejobs_local import baseimage, node, platform, sandbox, sides
from goosejobs_local.debian import NotDebian
from goosejobs_local.parts import Part
from goosejobs_local.platform import NodeOptions
from goosejobs_local.progress import silent
from goosejobs_local.resolve import Resolver

WORKER = "worker"


@contextmanager
def node_grounds() -> Iterator[Ground]:
    """A platform of one's own with a node that has goose's image, not started yet.

    Raises:
        NotMeasured: There can be no node here.
    """
    if reason := sandbox.refused():
        raise NotMeasured(reason)
    try:
        image = baseimage.goose(Resolver().resolve(["goose"])["goose"])
        options = NodeOptions(node.tools(silent), images={node.GOOSE_IMAGE_STEP: image})
    except NotDebian as error:
        raise NotMeasured(str(error)) from error
    with private_home() as home:
        yield Ground(home, options)


def up(ground: Ground) -> Part:
    """Start everything, with the stub model for goose to ask.

    Returns:
        The worker.
    """
    built = ground.platform
    to = sides.connection(built.kubeconfig, built.temporal.address)
    platform.prepare_home(ground.home)
    model = sides.model(built.port("model"), built.address)
    template = ground.home / "pool.yaml"
    image = baseimage.goose_reference(Resolver().resolve(["goose"])["goose"].version)
    template.write_text(sides.job_template(image, sides.stub_provider(model.address)))
    recipes = ground.home / "recipes"
    recipes.mkdir()
    worker = sides.job_worker(built.port(WORKER), to, template=template, recipes=recipes)
    ground.up_with(model, sides.operator(built.port("operator"), to), worker)
    return worker


def named(worker: Part, identity: str) -> Part:
    """The worker under a name by which Temporal tells it from its predecessors."""
    return dataclasses.replace(worker, env={**worker.env, "GOOSEJOBS_IDENTITY": identity})
