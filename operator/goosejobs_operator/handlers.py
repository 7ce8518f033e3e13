"""What kopf is told: which events to bring, and where to. Only this, `session` and `memories` know kopf.

Only event handlers: others would add kopf's finalizer, and a copy of the spec in an annotation.
"""

from typing import Any, cast

import kopf

from goosejobs.clients.errors import ClientError
from goosejobs.clients.kube import PAGE, Object
from goosejobs.model import names
from goosejobs_operator.service import Operator
from goosejobs_operator.session import session

OUTAGE_BACKOFFS = (1, 1, 2, 3, 5, 8, *[10] * 60)
"""Seconds between tries of a watch whose server fails; after the last, the process ends, to be restarted."""


@kopf.on.login()
async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
    """The pod's service account, else KUBECONFIG; kopf's own choice would load a second Kubernetes client."""
    found = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
    return session(found) if found else None


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Set kopf up, then start everything else; the watches begin after it."""
    settings.posting.enabled = False
    settings.persistence.finalizer = f"kopf.{names.GROUP}/unused"
    # By default it reads annotations, which anybody may write, and gives an object up over a malformed one.
    settings.persistence.diffbase_storage = kopf.StatusDiffBaseStorage()
    settings.persistence.progress_storage = kopf.StatusProgressStorage()
    settings.scanning.disabled = True  # it would need the right to watch all CRDs and namespaces
    # A task and a body are kept so long for each object that had an event: at a restart, for thousands.
    settings.queueing.idle_timeout = 1.0
    settings.watching.chunk_size = PAGE
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10
    settings.watching.label_selectors["configmaps"] = names.RECIPE_LABEL
    settings.networking.request_timeout = 30
    settings.networking.enforce_retry_after = True
    settings.networking.error_backoffs = OUTAGE_BACKOFFS
    settings.process.ultimate_exiting_timeout = 30
    try:
        memo.operator = await Operator.start(memo.settings, memo.stop)
    except ClientError as error:
        raise kopf.PermanentError(str(error)) from error


@kopf.on.cleanup()
async def end(memo: kopf.Memo, **_: Any) -> None:
    """Close what was started."""
    if isinstance(memo.get("operator"), Operator):
        memo.failed = memo.operator.failed
        await memo.operator.close()


@kopf.on.event(names.GROUP, names.VERSION, names.PLURAL)
async def goosejob(type: str | None, body: kopf.Body, memo: kopf.Memo, **_: Any) -> None:  # noqa: A002
    """A GooseJob is there, changed or went."""
    memo.operator.service.goosejob_changed(cast("Object", body), deleted=type == "DELETED")


@kopf.on.event("", "v1", "configmaps", labels={names.RECIPE_LABEL: kopf.PRESENT})
async def config_map(namespace: str | None, name: str | None, memo: kopf.Memo, **_: Any) -> None:
    """A ConfigMap with recipes is there, changed or went."""
    memo.operator.service.config_map_changed(str(namespace), str(name))
