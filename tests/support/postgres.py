"""PostgreSQL for tests: Debian's, run from where it lies, on loopback and with a password."""

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from goosejobs_local import converge, debian
from goosejobs_local.converge import Ground
from goosejobs_local.debian import Root
from goosejobs_local.parts import Part
from goosejobs_local.resolve import Resolver
from goosejobs_local.state import State
from support import rig as rigs
from support import waiting
from support.rig import Handle

_PACKAGE = "postgresql-15"
_PROGRAMS = Path("usr/lib/postgresql/15/bin")
_USER = "temporal"
_DATABASES = {"temporal": "temporal", "temporal_visibility": "visibility"}
"""Temporal's databases, each with the name of its schema in the SQL tool."""
_NOBODY = "nobody"


class Postgres:
    """One server process and its data.

    Args:
        home: The data directory of the platform that it belongs to: what runs in it ends with it.
    """

    def __init__(self, home: Path) -> None:
        self._home, self._data = home, home / "postgres"
        self._root = _reachable(debian.packages([_PACKAGE]), home)
        self._password = secrets.token_urlsafe(24)
        state = State()
        state.ensure_ports(["postgres"])
        self._port = state.ports["postgres"]
        self._handle: Handle | None = None

    @property
    def store(self) -> dict[str, Any]:
        """`sql` of a datastore of Temporal's server."""
        return {
            "pluginName": "postgres12",
            "databaseName": "temporal",
            "connectAddr": f"127.0.0.1:{self._port}",
            "connectProtocol": "tcp",
            "user": _USER,
            "password": self._password,
            "maxConns": 20,
            "maxIdleConns": 20,
        }

    def create(self) -> None:
        """Make an empty cluster of databases. PostgreSQL refuses to be root: then it is nobody."""
        self._data.mkdir(mode=0o700)
        password = self._home / "postgres-password"
        password.touch(mode=0o600)
        password.write_text(self._password)
        if os.geteuid() == 0:
            for path in (self._data, password):
                shutil.chown(path, _NOBODY)
        options = ("--auth=scram-sha-256", "--no-locale", "--encoding=UTF8", "--no-sync")
        argv = self._argv("initdb", *options, f"--username={_USER}", f"--pwfile={password}", str(self._data))
        subprocess.run(argv, env=self._environment, cwd="/", check=True, capture_output=True)

    async def start(self) -> Handle:
        """Start it, again if it was killed, and wait until it takes connections."""
        settings = {"port": str(self._port), "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        argv = tuple(self._argv("postgres", "-D", str(self._data), *options))
        ground = Ground(self._home, State(), save=lambda: None)
        part = Part(name="postgres", argv=argv, env=self._environment, cwd=self._home)
        self._handle = Handle("postgres", converge.start(part, ground), "", ground.log("postgres"))
        rigs.live.append(self._handle)
        await waiting.eventually(self._answers, timeout=90, message="PostgreSQL is not well")
        return self._handle

    def kill9(self) -> None:
        """All its processes at once, as when the machine loses power."""
        assert self._handle is not None, "it was not started"
        server = psutil.Process(self._handle.pid)
        all_ = [server, *server.children(recursive=True)]
        for process in all_:
            process.kill()
        _, alive = psutil.wait_procs(all_, timeout=5)
        assert not alive

    def create_tables(self) -> None:
        """Temporal's, by its own tool, which has the schemas inside."""
        for database, schema in _DATABASES.items():
            self._tool(database, "create-database")
            self._tool(database, "setup-schema", "--version", "0.0")
            self._tool(database, "update-schema", "--schema-name", f"postgresql/v12/{schema}")

    def _tool(self, database: str, *command: str) -> None:
        tool = Resolver().resolve(["temporal-sql-tool"])["temporal-sql-tool"].path
        env = {"SQL_PASSWORD": self._password, "SQL_USER": _USER, "SQL_PLUGIN": "postgres12"}
        where = ("--endpoint", "127.0.0.1", "--port", str(self._port), "--database", database)
        subprocess.run([str(tool), *where, *command], env=env, check=True, capture_output=True)

    def _answers(self) -> bool:
        argv = self._argv("pg_isready", "--host=127.0.0.1", f"--port={self._port}")
        asked = subprocess.run(argv, env=self._environment, cwd="/", check=False, capture_output=True)
        return asked.returncode == 0

    def _argv(self, program: str, *arguments: str) -> Sequence[str]:
        inside = self._root.path / _PROGRAMS / program
        path = inside if inside.exists() else Path("/") / _PROGRAMS / program
        if os.geteuid() != 0:
            return [str(path), *arguments]
        nobody = pwd.getpwnam(_NOBODY)
        as_nobody = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        return ["setpriv", *as_nobody, str(path), *arguments]

    @property
    def _environment(self) -> dict[str, str]:
        return self._root.environment({"PATH": os.environ["PATH"]})


def _reachable(root: Root, home: Path) -> Root:
    """The same root where others than root may enter, which is not in root's cache."""
    if os.geteuid() != 0 or not root.path.is_dir():
        return root
    target = home / "postgres-programs"
    if not target.exists():
        shutil.copytree(root.path, target, symlinks=True)
    return Root(target)
