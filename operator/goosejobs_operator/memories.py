"""kopf's memory of objects: it has none here.

By default it keeps a kilobyte for each object that it has seen, for daemons, timers and indexes, of which
there are none. With 5,000 objects these were 5 MB.
"""

from typing import Any

from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory


class Forgetful(ResourceMemories):
    """Makes a memory for each event, and keeps none."""

    async def recall(self, *args: Any, **kwargs: Any) -> ResourceMemory:
        """A new memory, whatever the object."""
        return await super().recall(*args, **{**kwargs, "ephemeral": True})
