"""Recipes in the pool's recipe folder."""

import os
import stat
from pathlib import Path

from goosejobs.model.names import MAX_RECIPE_BYTES
from goosejobs.model.run import RecipeFile


class UnreadableRecipe(Exception):
    """`spec.recipe.path` cannot be served; str() is one sentence."""


def read_recipe_file(folder: Path | None, path: str) -> RecipeFile:
    """Read a recipe that lies inside the pool's recipe folder, whatever symlinks say.

    Args:
        folder: The recipe folder, absolute; None where the pool has none.
        path: `spec.recipe.path`, relative to it.

    Raises:
        UnreadableRecipe: It is not there, leaves the folder, is too large or is not text.
    """
    if folder is None:
        raise UnreadableRecipe("spec.recipe.path: this pool has no recipe folder (GOOSEJOBS_RECIPE_DIR)")
    target = _inside(folder, path)
    try:
        data = _read(target, path)
        text = data.decode("utf-8")
    except OSError as error:
        raise UnreadableRecipe(f"spec.recipe.path: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadableRecipe(f"spec.recipe.path: {path} is not UTF-8 text (byte {error.start})") from error
    base = target.parent.relative_to(folder.resolve())
    return RecipeFile(text=text, base_dir=base.as_posix())


def _inside(folder: Path, path: str) -> Path:
    root = folder.resolve()
    try:
        target = (root / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a loop of symlinks, a NUL in the name
        raise UnreadableRecipe(f"spec.recipe.path: {path!r} is not a usable path: {error}") from error
    if Path(path).is_absolute() or not target.is_relative_to(root):
        raise UnreadableRecipe(
            f"spec.recipe.path: {path} lies outside the pool's recipe folder; write a path relative to it"
        )
    return target


def _read(target: Path, path: str) -> bytes:
    # Without following a link that appeared meanwhile, and without waiting for a pipe's other end.
    descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UnreadableRecipe(f"spec.recipe.path: {path} is not a file")
        data = file.read(MAX_RECIPE_BYTES + 1)
    if len(data) > MAX_RECIPE_BYTES:
        raise UnreadableRecipe(f"spec.recipe.path: {path} is larger than {MAX_RECIPE_BYTES // 1024} KiB")
    return data
