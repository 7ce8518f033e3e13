"""The operator's command: `goosejobs-operator`, or `python -m goosejobs_operator`."""

import asyncio
import importlib.util
import logging
import os
import sys

from goosejobs.logging import configure
from goosejobs.settings import InvalidSettings
from goosejobs.usage import answer
from goosejobs_operator.settings import OperatorSettings

log = logging.getLogger("goosejobs_operator")

PURPOSE = "keeps a Temporal schedule for each GooseJob, and says in its status how it is served."
FAILED = 1
WRONG_SETTINGS = 2


def main() -> None:
    """Run until told to stop; end with 0 then, 1 when it could not go on, 2 when a setting is wrong."""
    if told := answer("goosejobs-operator", PURPOSE, OperatorSettings, sys.argv[1:]):
        print(told.text, file=sys.stderr if told.code else sys.stdout)
        sys.exit(told.code)
    try:
        settings = OperatorSettings.load()
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        sys.exit(WRONG_SETTINGS)
    if importlib.util.find_spec("kopf") is None:
        print("the operator needs kopf: pip install 'goosejobs[operator]'", file=sys.stderr)
        sys.exit(WRONG_SETTINGS)
    configure(settings.log_format, settings.log_level)
    sys.exit(asyncio.run(serve(settings)))


async def serve(settings: OperatorSettings) -> int:
    """Run until told to stop.

    Args:
        settings: The operator's.

    Returns:
        The exit code.
    """
    # Late, because without its extra the package must still be able to say what is missing.
    from goosejobs.clients import asynckube  # noqa: F401, I001, PLC0415 - else kopf loads that package whole
    import kopf  # noqa: PLC0415

    from goosejobs_operator import handlers  # noqa: F401, PLC0415 - registers them
    from goosejobs_operator.memories import Forgetful  # noqa: PLC0415

    stop = asyncio.Event()
    memo = kopf.Memo(settings=settings, stop=stop, failed=False)
    # Else kopf calls itself by the user's name, and a container's user often has none.
    os.environ.setdefault("POD_ID", settings.identity)
    try:
        await kopf.operator(
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            stop_flag=stop,
            memo=memo,
            memories=Forgetful(),
        )
    except Exception as error:  # noqa: BLE001 - whatever ended the watches ends the process, in one line
        log.error("the operator ends: %s", error)
        return FAILED
    return FAILED if memo.failed else 0


if __name__ == "__main__":
    main()
