"""How the operator checks recipes: with the real renderer, a process of its own."""

import contextlib
from collections.abc import AsyncIterator

import psutil
import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from temporalio.client import Client

from goosejobs.clients.renderer import Renderer
from goosejobs.model.run import GooseJobRef
from goosejobs.model.spec import GooseJobSpec
from goosejobs_operator.desired import Refused
from goosejobs_operator.kube import OperatorKube
from goosejobs_operator.pools import Pools
from goosejobs_operator.recipes import Recipes

REF = GooseJobRef(namespace="team-a", name="x", uid="1")


def spec(prompt: str, topic: str) -> GooseJobSpec:
    parameter = {"key": "topic", "input_type": "number", "requirement": "required", "description": "d"}
    recipe = {
        "version": "1.0.0",
        "title": "t",
        "description": "d",
        "prompt": prompt,
        "parameters": [parameter],
    }
    given = [{"name": "topic", "value": topic}]
    return GooseJobSpec.model_validate(
        {"schedule": "@daily", "recipe": {"inline": recipe}, "parameters": given}
    )


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    async with Renderer() as renderer:
        yield renderer


@pytest.fixture
async def recipes(renderer: Renderer) -> AsyncIterator[Recipes]:
    """Kubernetes and Temporal are not asked: these recipes stand in the object."""
    nowhere = Configuration(host="http://127.0.0.1:1")
    async with OperatorKube(ApiClient(configuration=nowhere), 1.0) as kube:
        yield Recipes(kube, Pools(await Client.connect("127.0.0.1:1", lazy=True), "test"), renderer)


async def refusal(recipes: Recipes, asked: GooseJobSpec) -> str:
    with pytest.raises(Refused) as refused:
        await recipes.snapshot(REF, asked, None, None)
    return refused.value.message


def renders() -> bool:
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # what another test has ended, and nobody waited for
            if "goosejobs.recipe" in child.cmdline():
                return True
    return False


async def test_a_recipe_that_was_refused_is_not_rendered_again(recipes: Recipes, renderer: Renderer) -> None:
    first = await refusal(recipes, spec("{{ nobody }}", "1"))
    await renderer.close()
    assert await refusal(recipes, spec("{{ nobody }}", "1")) == first
    assert not renders()
    mended = await recipes.snapshot(REF, spec("{{ topic }}", "1"), None, None)
    assert renders()
    assert mended.digest


async def test_other_values_of_a_refused_recipe_are_looked_at(recipes: Recipes, renderer: Renderer) -> None:
    assert "spec.parameters[0]" in await refusal(recipes, spec("{{ topic }}", "many"))
    await renderer.close()
    await recipes.snapshot(REF, spec("{{ topic }}", "7"), None, None)
    assert renders()
