"""The pool's recipe folder: the only place from which a recipe's files are read.

The one module of this package that touches the disk; only the child process and tests use it.
"""

import os
import stat
from pathlib import Path
from typing import Protocol

from goosejobs.model.names import MAX_RECIPE_BYTES
from goosejobs.recipe import quoted


class FileProblem(Exception):
    """A file may not or cannot be used; str() is a sentence."""


class Files(Protocol):
    """What rendering asks of the files around a recipe."""

    recipe_dir: str | None
    """What goose's variable `recipe_dir` stands for; None for a recipe that is not a file."""

    def text(self, path: str) -> str:
        """The content of a `file` parameter's file.

        Raises:
            FileProblem: It may not or cannot be read.
        """
        ...

    def sub_recipe(self, path: str) -> str:
        """The path under which goose finds a sub-recipe.

        Raises:
            FileProblem: It may not be used, or is not there.
        """
        ...


class RecipeFolder:
    """The folder, on the machine that runs goose.

    Symbolic links are followed as long as they end inside the folder (a mounted ConfigMap is made of links);
    what is handed on is where they end, since goose refuses recipes behind links.

    Args:
        root: The pool's recipe folder, absolute; None if the pool has none.
        base: The recipe's own folder inside it, relative; None for a recipe that is not a file.
    """

    def __init__(self, root: str | None, base: str | None) -> None:
        self._root = None if root is None else Path(root).resolve()
        self._base = None if self._root is None or base is None else self._root / base
        self.recipe_dir = None if self._base is None else str(self._base.resolve())

    def text(self, path: str) -> str:
        """See Files."""
        found = self._inside(self._root, path)
        try:
            # O_NONBLOCK: opening a pipe that nobody writes would wait for ever
            with open(found, "rb", opener=_open_nonblocking) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise FileProblem(f"{quoted(path)} is not a regular file")
                content = file.read(MAX_RECIPE_BYTES + 1)
        except OSError as error:
            raise FileProblem(f"{quoted(path)} cannot be read: {error.strerror}") from None
        if len(content) > MAX_RECIPE_BYTES:
            raise FileProblem(f"{quoted(path)} has more than {MAX_RECIPE_BYTES // 1024} KiB")
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise FileProblem(f"{quoted(path)} is not UTF-8 text") from None

    def sub_recipe(self, path: str) -> str:
        """See Files."""
        found = self._inside(_base_for(path, self._base), path)
        if not found.is_file():
            raise FileProblem(f"the sub-recipe {quoted(path)} does not exist")
        return str(found)

    def _inside(self, base: Path | None, path: str) -> Path:
        if self._root is None:
            raise FileProblem(f"{quoted(path)} needs a recipe folder, and this pool's worker has none")
        if "\0" in path:
            raise FileProblem(f"{quoted(path)} is not a path")
        try:
            found = ((base or self._root) / path).resolve()
        except (OSError, RuntimeError):
            raise FileProblem(f"{quoted(path)} is not a path that can be followed") from None
        if not found.is_relative_to(self._root):
            raise FileProblem(f"{quoted(path)} leaves the pool's recipe folder")
        return found


class UnseenFolder:
    """A stand-in where the pool's folder cannot be seen: all is checked but the files themselves.

    Args:
        base: As for RecipeFolder.
    """

    def __init__(self, base: str | None) -> None:
        self._base = None if base is None else Path("/", base)
        self.recipe_dir = None if self._base is None else str(self._base)

    def text(self, path: str) -> str:
        """See Files."""
        _refuse_escape(Path("/"), path)
        return f"content of {path}"

    def sub_recipe(self, path: str) -> str:
        """See Files."""
        _refuse_escape(_base_for(path, self._base) or Path("/"), path)
        return path


def _base_for(path: str, base: Path | None) -> Path | None:
    if base is None and not Path(path).is_absolute():
        raise FileProblem(
            f"{quoted(path)} is relative to the recipe's file, and this recipe is none; "
            "keep both in the pool's recipe folder and use spec.recipe.path"
        )
    return base


def _refuse_escape(base: Path, path: str) -> None:
    if Path(path).is_absolute():
        return  # where the folder is, only the worker knows
    depth = len(base.parts) - 1
    for part in Path(path).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise FileProblem(f"{quoted(path)} leaves the pool's recipe folder")


def _open_nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)
