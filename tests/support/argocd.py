"""Runs Argo CD's customizations as Argo CD does: Lua 5.1 with its base and table libraries and no other."""

from pathlib import Path
from typing import Any

import yaml
from lupa.lua51 import LuaRuntime

_CONFIG = Path(__file__).parents[2] / "examples/gitops/argocd/argocd-cm.yaml"
AS_KSTATUS = {"Healthy": "Current", "Progressing": "InProgress", "Degraded": "Failed"}
"""The words of Argo CD, and of kstatus."""
_ABSENT = ("string", "math", "io", "debug", "coroutine", "python")


def health(obj: dict[str, Any]) -> tuple[str, str]:
    """What argocd-cm's script says of a GooseJob: status and message."""
    script = yaml.safe_load(_CONFIG.read_text())["data"][
        "resource.customizations.health.goosejobs.dev_GooseJob"
    ]
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute('getmetatable("").__index = nil')
    for name in _ABSENT:
        lua.globals()[name] = None
    lua.globals().obj = lua.table_from(obj, recursive=True)
    answer = lua.execute(script)
    return answer.status, answer.message
