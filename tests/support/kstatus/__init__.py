"""What kstatus makes of an object: the library by which Flux waits for what it has applied, and others do."""

import atexit
import json
import shutil
import subprocess
import tempfile
from functools import cache
from os import environ
from pathlib import Path
from typing import Any

from goosejobs_local import catalog, gobuild
from goosejobs_local.commands import Commands
from goosejobs_local.progress import silent
from goosejobs_local.resolve import cache_directory


def kstatus(obj: dict[str, Any]) -> str:
    """InProgress, Current, Failed, Terminating, ..."""
    done = subprocess.run([_program()], input=json.dumps(obj), capture_output=True, text=True, check=True)
    return done.stdout.strip()


@cache
def _program() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="goosejobs-kstatus-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    commands = Commands()
    go = gobuild.find_go(cache_directory(), [catalog.load()["kubectl"]], commands, silent)
    argv = [str(go), "build", "-trimpath", "-o", str(folder / "kstatus"), "."]
    commands.output(argv, env=gobuild.environment(environ), cwd=Path(__file__).parent)
    return folder / "kstatus"
