"""The `kubernetes` package with its asyncio client alone.

Importing it the usual way loads its blocking client as well, with that one's HTTP, OAuth and websocket
libraries: 8 MB in each process, and a third of the time that the import takes, for what nobody here calls.
Submodules are found as ever, also those of the blocking client.
"""

import sys
from importlib.util import find_spec, module_from_spec

if "kubernetes" not in sys.modules and (_found := find_spec("kubernetes")):
    sys.modules["kubernetes"] = module_from_spec(_found)

from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

__all__ = ["ApiClient", "Configuration", "config"]
