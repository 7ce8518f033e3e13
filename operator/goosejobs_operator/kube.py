"""The calls to Kubernetes that only the operator makes."""

from typing import Any, cast

from kubernetes.aio import client

from goosejobs.clients.errors import NotFound
from goosejobs.clients.kube import Kube, Object, translated
from goosejobs.model import names

_MERGE = "application/merge-patch+json"


class OperatorKube(Kube):
    """What both sides can do, and finalizers."""

    async def add_finalizer(self, obj: Object) -> Object:
        """Make the object wait for us when it is deleted.

        Raises:
            Conflict: It changed since it was read.
        """
        return await self._write_finalizers(obj, [*_finalizers(obj), names.FINALIZER])

    async def remove_finalizer(self, obj: Object) -> Object:
        """Let the object go; one that is gone is as good.

        Raises:
            Conflict: It changed since it was read.
        """
        left = [each for each in _finalizers(obj) if each != names.FINALIZER]
        try:
            return await self._write_finalizers(obj, left)
        except NotFound:
            return obj

    async def _write_finalizers(self, obj: Object, finalizers: list[str]) -> Object:
        """The whole list, under the resourceVersion read: no other finalizer can be lost."""
        meta = obj["metadata"]
        guard: dict[str, Any] = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        with translated(f"write the finalizers of GooseJob {meta['namespace']}/{meta['name']}"):
            written = await client.CustomObjectsApi(self.api_client).patch_namespaced_custom_object(
                names.GROUP,
                names.VERSION,
                meta["namespace"],
                names.PLURAL,
                meta["name"],
                {"metadata": {**guard, "finalizers": finalizers}},
                _content_type=_MERGE,
                _request_timeout=self.request_timeout,
            )
        return cast("Object", written)

    async def cluster_id(self) -> str:
        """What tells this cluster from others: the uid of the namespace kube-system."""
        with translated("read namespace kube-system"):
            found = await client.CoreV1Api(self.api_client).read_namespace(
                "kube-system", _request_timeout=self.request_timeout
            )
        return str(found.metadata.uid if found.metadata else "")


def _finalizers(obj: Object) -> list[str]:
    return list(obj["metadata"].get("finalizers", []))
