"""A GooseJob's recipe by value, from wherever its spec says, checked with the values given to it."""

import hashlib
import json
from collections import OrderedDict
from typing import Final

from goosejobs.clients.errors import Forbidden, NotFound
from goosejobs.clients.renderer import Renderer
from goosejobs.model.names import RECIPE_LABEL
from goosejobs.model.reasons import StalledReason
from goosejobs.model.run import GooseJobRef, RecipeSnapshot
from goosejobs.model.spec import ConfigMapKeyRef, GooseJobSpec, ScheduleSource
from goosejobs.recipe import RecipeError
from goosejobs_operator.desired import Refused, refusal
from goosejobs_operator.kube import OperatorKube
from goosejobs_operator.pools import Pools, UnreadableRecipe

_REMEMBERED: Final = 1000
"""Refusals kept, a few hundred bytes each."""


class WaitingForWorker(Exception):
    """Only a worker can read the recipe, and none has yet; str() says which is missing."""


class Recipes:
    """Reads recipes.

    Args:
        kube: For recipes in ConfigMaps.
        pools: For recipes in a pool's folder, which its workers read.
        renderer: To check them, out of reach.
    """

    def __init__(self, kube: OperatorKube, pools: Pools, renderer: Renderer) -> None:
        self._kube = kube
        self._workers = pools
        self._renderer = renderer
        self._refusals: OrderedDict[bytes, Refused] = OrderedDict()

    async def snapshot(
        self,
        ref: GooseJobRef,
        spec: GooseJobSpec,
        applied: RecipeSnapshot | None,
        workers: bool | None,
    ) -> RecipeSnapshot:
        """The recipe as it is now.

        Args:
            ref: Whose.
            spec: Its spec, sound as far as the schema goes.
            applied: What runs already for this generation of the spec: known to be good. A file in a pool's
                folder is read once for each generation: what was applied is what runs.
            workers: Whether the pool has workers.

        Raises:
            Refused: It cannot be found, or is no good.
            WaitingForWorker: It cannot be read yet.
            ClientError: Kubernetes or Temporal did not answer.
        """
        if spec.recipe.path is not None and applied is not None:
            return applied
        found = await self._read(ref, spec, workers)
        if applied is not None and found == applied.model_copy(update={"schedule": None}):
            return applied
        schedule = await self._check(found, spec)
        return found.model_copy(update={"schedule": schedule or None})

    async def _read(self, ref: GooseJobRef, spec: GooseJobSpec, workers: bool | None) -> RecipeSnapshot:
        recipe = spec.recipe
        if recipe.text is not None:
            return _snapshot(recipe.text, "spec.recipe.text")
        if recipe.inline is not None:
            return _snapshot(recipe.inline_text, "spec.recipe.inline")
        if recipe.config_map_key_ref is not None:
            text = await self._from_config_map(ref.namespace, recipe.config_map_key_ref)
            return _snapshot(text, "spec.recipe.configMapKeyRef")
        return await self._from_pool(ref, spec.execution.pool, str(recipe.path), workers)

    async def _from_config_map(self, namespace: str, source: ConfigMapKeyRef) -> str:
        where = f"ConfigMap {source.name} in namespace {namespace}"
        try:
            found = await self._kube.get_config_map(namespace, source.name)
        except NotFound:
            raise refusal(
                StalledReason.RECIPE_NOT_FOUND,
                "spec.recipe.configMapKeyRef.name",
                f"there is no {where}: create it with the recipe under the key {source.key}, and label it "
                f'{RECIPE_LABEL}: "" so that its changes are taken up at once',
            ) from None
        except Forbidden as error:
            message = f"the operator may not read it: {error}"
            raise refusal(
                StalledReason.RECIPE_NOT_FOUND, "spec.recipe.configMapKeyRef.name", message
            ) from error
        data = found.get("data") or {}
        if source.key not in data:
            keys = ", ".join(sorted(data)[:10]) or "none"
            raise refusal(
                StalledReason.RECIPE_NOT_FOUND,
                "spec.recipe.configMapKeyRef.key",
                f"{where} has no key {source.key} in its data: add it, or name one of those it has ({keys})",
            )
        return str(data[source.key])

    async def _from_pool(
        self,
        ref: GooseJobRef,
        pool: str,
        path: str,
        workers: bool | None,
    ) -> RecipeSnapshot:
        if workers is False:
            raise WaitingForWorker(f"A worker of pool {pool} has to read {path}, and the pool has none.")
        try:
            found = await self._workers.read_recipe(ref, pool, path)
        except UnreadableRecipe as error:
            raise refusal(StalledReason.RECIPE_NOT_FOUND, "spec.recipe.path", str(error)) from error
        except TimeoutError:
            raise WaitingForWorker(f"No worker of pool {pool} has read {path} in time.") from None
        return _snapshot(found.text, "spec.recipe.path", found.base_dir)

    async def _check(self, recipe: RecipeSnapshot, spec: GooseJobSpec) -> str:
        """Check it, unless the same was refused before; returns its own schedule, if the spec asks for that.

        All share one renderer: a template bomb would else take its seconds of everybody's at each resync.
        """
        values = {parameter.name: parameter.value for parameter in spec.parameters}
        scheduled = spec.schedule_from is ScheduleSource.RECIPE
        key = _identity(recipe, values, scheduled=scheduled)
        if (known := self._refusals.get(key)) is not None:
            self._refusals.move_to_end(key)
            raise Refused(known.reason, known.message)
        try:
            return await self._renderer.check(
                recipe.text, values, base_dir=recipe.base_dir, scheduled=scheduled
            )
        except RecipeError as error:
            refused = Refused(error.reason, error.describe(recipe.source))
            self._refusals[key] = refused
            while len(self._refusals) > _REMEMBERED:
                self._refusals.popitem(last=False)
            raise Refused(refused.reason, refused.message) from error


def _identity(recipe: RecipeSnapshot, values: dict[str, str], *, scheduled: bool) -> bytes:
    """What a check's answer depends on."""
    parts = [recipe.digest, recipe.source, recipe.base_dir, sorted(values.items()), scheduled]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _snapshot(text: str, source: str, base_dir: str | None = None) -> RecipeSnapshot:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return RecipeSnapshot(text=text, digest=f"sha256:{digest}", source=source, base_dir=base_dir)
