"""What a pool's recipe folder serves, and what not."""

import os
from pathlib import Path

import pytest

from goosejobs.model.names import MAX_RECIPE_BYTES
from goosejobs_worker.recipes import UnreadableRecipe, read_recipe_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "recipes"
    (folder / "reports").mkdir(parents=True)
    (folder / "reports" / "weekly.yaml").write_text("title: Wöchentlich\n", encoding="utf-8")
    (tmp_path / "secret.yaml").write_text("secret")
    return folder


def test_a_recipe_comes_with_its_folder(folder: Path) -> None:
    found = read_recipe_file(folder, "reports/weekly.yaml")
    assert (found.text, found.base_dir) == ("title: Wöchentlich\n", "reports")


def test_a_recipe_at_the_top_has_the_folder_itself(folder: Path) -> None:
    (folder / "top.yaml").write_text("t")
    assert read_recipe_file(folder, "top.yaml").base_dir == "."


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    (folder / "latest.yaml").symlink_to("reports/weekly.yaml")
    assert read_recipe_file(folder, "latest.yaml").base_dir == "reports"


def test_line_ends_and_marks_are_kept_byte_for_byte(folder: Path) -> None:
    (folder / "dos.yaml").write_bytes(b"a: 1\r\nb: 2\r\n")
    assert read_recipe_file(folder, "dos.yaml").text == "a: 1\r\nb: 2\r\n"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("../secret.yaml", "outside the pool's recipe folder"),
        ("reports/../../secret.yaml", "outside the pool's recipe folder"),
        ("link.yaml", "outside the pool's recipe folder"),
        ("away/secret.yaml", "outside the pool's recipe folder"),
        ("/etc/passwd", "outside the pool's recipe folder"),
        ("missing.yaml", "cannot read missing.yaml: No such file"),
        ("reports", "cannot read reports: Is a directory"),
        ("pipe", "pipe is not a file"),
        ("large.yaml", "larger than 200 KiB"),
        ("latin.yaml", "not UTF-8 text (byte 1)"),
        ("loop", "loop"),
        ("nul\0.yaml", "not a usable path"),
    ],
)
def test_what_is_not_a_recipe_of_the_folder_is_refused_in_a_sentence(
    folder: Path, path: str, says: str
) -> None:
    (folder / "link.yaml").symlink_to("../secret.yaml")
    (folder / "away").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    (folder / "large.yaml").write_bytes(b"x" * (MAX_RECIPE_BYTES + 1))
    (folder / "latin.yaml").write_bytes(b"\x61\xe9")
    with pytest.raises(UnreadableRecipe) as refused:
        read_recipe_file(folder, path)
    assert says in str(refused.value)
    assert str(refused.value).startswith("spec.recipe.path: ")


def test_a_pool_without_a_folder_says_so() -> None:
    with pytest.raises(UnreadableRecipe, match="GOOSEJOBS_RECIPE_DIR"):
        read_recipe_file(None, "a.yaml")
