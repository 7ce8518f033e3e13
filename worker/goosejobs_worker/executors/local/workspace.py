"""The folders of goose on this machine: one that stays, for its sessions, and one per attempt."""

import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

_OLDEST: Final = timedelta(days=8)
"""No attempt lasts so long (`activeDeadlineSeconds` is at most 7 days): the machine went down under it."""


class Unusable(Exception):
    """The data folder cannot serve; str() says why and what to set."""


@dataclass(frozen=True)
class Place:
    """One attempt's folder, removed by the supervisor.

    Attributes:
        directory: The folder.
        recipe: The prepared recipe, for goose's user only. Not below `home`: goose offers recipes it finds in
            its working directory to the model.
        home: goose's home and working directory, empty at first.
        goose: Where goose keeps its config, data and state. Only the sessions stay: what an agent writes into
            goose's configuration would else be done in all later runs, whoever they belong to.
        temporary: For temporary files.
    """

    directory: Path
    recipe: Path
    home: Path
    goose: Path
    temporary: Path


class Workspace:
    """The data folder.

    Args:
        data_dir: Its path.
        user: (uid, gid) goose runs as; None: as the worker.
    """

    def __init__(self, data_dir: Path, user: tuple[int, int] | None) -> None:
        self._sessions = data_dir / "goose" / "data" / "sessions"
        self._attempts = data_dir / "attempts"
        self._user = user

    def prepare(self) -> None:
        """Make the folders, and clear away what attempts left that were cut short with their machine.

        Raises:
            Unusable: They cannot be made, or goose's user cannot reach them.
        """
        try:
            # Others may pass through to what is theirs, but look at nothing.
            for folder in (self._attempts, self._sessions.parents[1], self._sessions.parent):
                folder.mkdir(parents=True, exist_ok=True, mode=0o711)
            self._sessions.mkdir(exist_ok=True, mode=0o700)
            self._give(self._sessions)
            self._remove_old()
        except OSError as error:
            raise Unusable(f"GOOSEJOBS_DATA_DIR: cannot use {error.filename}: {error.strerror}") from error
        closed = self._closed_to_goose()
        if closed is not None and self._user is not None:
            raise Unusable(
                f"GOOSEJOBS_DATA_DIR: user {self._user[0]}, whom goose runs as, may not enter {closed}; "
                "choose a folder that it can reach, or another user in GOOSEJOBS_RUN_AS_UID (0: root, too)"
            )

    def create(self, recipe: str) -> Place:
        """Make an attempt's folder.

        Args:
            recipe: The text goose is to run.

        Raises:
            OSError: No space, no permission.
        """
        directory = Path(tempfile.mkdtemp(prefix="attempt-", dir=self._attempts))
        place = Place(
            directory,
            recipe=directory / "recipe" / "recipe.yaml",
            home=directory / "home",
            goose=directory / "goose",
            temporary=directory / "tmp",
        )
        folders = (place.recipe.parent, place.home, place.temporary, place.goose / "data", place.goose)
        for folder in reversed(folders):
            folder.mkdir(mode=0o700)
        (place.goose / "data" / "sessions").symlink_to(self._sessions)
        place.recipe.write_text(recipe, encoding="utf-8")
        place.recipe.chmod(0o600)
        # From the inside out: in a folder that is goose's user's, another run could put a link in our way.
        for path in (place.recipe, *folders, directory):
            self._give(path)
        return place

    def remove(self, place: Place) -> None:
        """Remove an attempt's folder, where the supervisor could not do it."""
        shutil.rmtree(place.directory, ignore_errors=True)

    def _give(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, *self._user, follow_symlinks=False)

    def _remove_old(self) -> None:
        for directory in self._attempts.glob("attempt-*"):
            if time.time() - directory.stat().st_mtime > _OLDEST.total_seconds():
                shutil.rmtree(directory, ignore_errors=True)

    def _closed_to_goose(self) -> Path | None:
        """The first folder on the way that goose's user may not pass."""
        if self._user is None:
            return None
        uid, gid = self._user
        for folder in reversed(self._attempts.parents):
            found = folder.stat()
            bit = (
                stat.S_IXUSR if found.st_uid == uid else stat.S_IXGRP if found.st_gid == gid else stat.S_IXOTH
            )
            if not found.st_mode & bit:
                return folder
        return None
