"""The calls to Kubernetes that only the operator makes."""

from goosejobs.clients.errors import NotFound
from goosejobs.clients.kube import Kube, Object, goosejob_path, object_path
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
        guard = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        return await self.request(
            f"write the finalizers of GooseJob {meta['namespace']}/{meta['name']}",
            "PATCH",
            goosejob_path(meta["namespace"], meta["name"]),
            query={"fieldManager": names.OPERATOR_MANAGER},
            body={"metadata": {**guard, "finalizers": finalizers}},
            content_type=_MERGE,
        )

    async def serves_goosejobs(self) -> bool:
        """Whether the API server knows the kind GooseJob."""
        try:
            found = await self.request("look for the kind GooseJob", "GET", f"/apis/{names.API_VERSION}")
        except NotFound:
            return False
        return names.PLURAL in {each["name"] for each in found["resources"]}

    async def cluster_id(self) -> str:
        """What tells this cluster from others: the uid of the namespace kube-system."""
        path = object_path("/api/v1", "namespaces", name="kube-system")
        found = await self.request("read namespace kube-system", "GET", path)
        return str(found["metadata"]["uid"])


def _finalizers(obj: Object) -> list[str]:
    return list(obj["metadata"].get("finalizers", []))
