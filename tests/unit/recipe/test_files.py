"""The pool's recipe folder: what may be read, and what never is."""

import os
from pathlib import Path

import pytest

from goosejobs.model.names import MAX_RECIPE_BYTES
from goosejobs.recipe import RecipeError
from goosejobs.recipe.files import FileProblem, RecipeFolder, UnseenFolder
from goosejobs.recipe.parse import parse
from goosejobs.recipe.prepare import prepare


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "recipes"
    (root / "reports").mkdir(parents=True)
    (root / "notes.txt").write_bytes("é\r\n{{ a }}\n".encode())
    (root / "reports/sub.yaml").write_text("title: sub\n")
    (tmp_path / "secret.txt").write_text("secret")
    return root


def test_a_file_is_read_as_it_is(folder: Path) -> None:
    assert RecipeFolder(str(folder), None).text("notes.txt") == "é\r\n{{ a }}\n"
    assert RecipeFolder(str(folder), None).text(str(folder / "notes.txt")) == "é\r\n{{ a }}\n"


@pytest.mark.parametrize("path", ["../secret.txt", "reports/../../secret.txt", "/etc/passwd", ".."])
def test_a_path_does_not_leave_the_folder(folder: Path, path: str) -> None:
    for use in (RecipeFolder(str(folder), "reports").text, RecipeFolder(str(folder), "reports").sub_recipe):
        with pytest.raises(FileProblem, match=r"leaves the pool's recipe folder$"):
            use(path if use.__name__ == "text" or path.startswith("/") else f"../{path}")


def test_a_link_is_followed_inside_the_folder_only(folder: Path) -> None:
    (folder / "inside.txt").symlink_to("notes.txt")
    (folder / "outside.txt").symlink_to("../secret.txt")
    (folder / "loop.txt").symlink_to("loop.txt")
    files = RecipeFolder(str(folder), None)
    assert files.text("inside.txt").startswith("é")
    with pytest.raises(FileProblem, match="leaves the pool's recipe folder"):
        files.text("outside.txt")
    with pytest.raises(FileProblem, match=r"loop\.txt"):
        files.text("loop.txt")


def test_a_mounted_config_map_is_a_recipe_folder(tmp_path: Path) -> None:
    root = tmp_path / "mount"
    (root / "..2026").mkdir(parents=True)
    (root / "..2026/sub.yaml").write_text("title: sub\n")
    (root / "..data").symlink_to("..2026")
    (root / "sub.yaml").symlink_to("..data/sub.yaml")
    files = RecipeFolder(str(root), ".")
    assert files.text("sub.yaml") == "title: sub\n"
    # goose refuses recipes behind links, so it is told where they end
    assert files.sub_recipe("sub.yaml") == str(root.resolve() / "..2026/sub.yaml")


def test_what_is_not_a_text_file_is_refused(folder: Path) -> None:
    (folder / "binary").write_bytes(b"\xff\xfe")
    (folder / "large").write_bytes(b"x" * (MAX_RECIPE_BYTES + 1))
    os.mkfifo(folder / "pipe")
    files = RecipeFolder(str(folder), None)
    for path, says in {
        "binary": '"binary" is not UTF-8 text',
        "large": '"large" has more than 200 KiB',
        "pipe": '"pipe" is not a regular file',
        "reports": '"reports" cannot be read: Is a directory',
        "nothing": '"nothing" cannot be read: No such file or directory',
        "a\0b": '"a\\u0000b" is not a path',
        "x" * 5000: "cannot be read: File name too long",
    }.items():
        with pytest.raises(FileProblem) as caught:
            files.text(path)
        assert str(caught.value).endswith(says)


def test_a_sub_recipe_is_found_beside_its_recipe(folder: Path) -> None:
    files = RecipeFolder(str(folder), "reports")
    assert files.sub_recipe("./sub.yaml") == str(folder / "reports/sub.yaml")
    assert files.sub_recipe(str(folder / "reports/sub.yaml")) == str(folder / "reports/sub.yaml")
    with pytest.raises(FileProblem, match=r'^the sub-recipe "gone\.yaml" does not exist$'):
        files.sub_recipe("gone.yaml")


def test_recipe_dir_is_the_recipes_own_folder(folder: Path) -> None:
    assert RecipeFolder(str(folder), "reports").recipe_dir == str(folder / "reports")
    assert RecipeFolder(str(folder), ".").recipe_dir == str(folder)
    assert RecipeFolder(str(folder), None).recipe_dir is None
    assert RecipeFolder(None, "reports").recipe_dir is None


def test_without_sight_of_the_folder_paths_are_judged_by_their_looks() -> None:
    files = UnseenFolder("reports")
    assert files.text("a.txt") == "content of a.txt"
    assert files.text("/recipes/a.txt") == "content of /recipes/a.txt"
    assert files.sub_recipe("../other/sub.yaml") == "../other/sub.yaml"
    for use, path in ((files.text, "../a.txt"), (files.sub_recipe, "../../sub.yaml")):
        with pytest.raises(FileProblem, match="leaves the pool's recipe folder"):
            use(path)
    with pytest.raises(FileProblem, match="this recipe is none"):
        UnseenFolder(None).sub_recipe("sub.yaml")


RECIPE = """
title: t
description: d
prompt: "{{ notes }} beside {{ recipe_dir }} with {{ topic }}"
parameters:
- {key: notes, input_type: file, requirement: required, description: d}
- {key: topic, input_type: string, requirement: required, description: d}
sub_recipes:
- {name: s, path: "{{ recipe_dir }}/sub.yaml", values: {topic: "on {{ topic }}", quoted: 'a "b"', n: 1.50}}
schedule: {cron: "0 8 * * *"}
"""


def test_files_reach_the_recipe(folder: Path) -> None:
    given = {"notes": "notes.txt", "topic": "cats"}
    prepared = prepare(RECIPE, given, RecipeFolder(str(folder), "reports"))
    assert parse(prepared.text) == {
        "title": "t",
        "description": "d",
        "prompt": f"é\r\n{{{{ a }}}}\n beside {folder}/reports with cats",
        "sub_recipes": [
            {
                "name": "s",
                "path": f"{folder}/reports/sub.yaml",
                "values": {"topic": "on cats", "quoted": 'a "b"', "n": 1.5},
            }
        ],
    }
    assert prepared.title == "t"
    assert not prepared.needs_output
    prepare(RECIPE, given, UnseenFolder("reports"))


@pytest.mark.parametrize("value", ['a"b', "it's", "a\nb", "a\\b", "a\u2028b", "a\rb"])
def test_a_value_that_could_change_a_sub_recipe_is_refused(folder: Path, value: str) -> None:
    with pytest.raises(RecipeError) as caught:
        prepare(RECIPE, {"notes": "notes.txt", "topic": value}, RecipeFolder(str(folder), "reports"))
    assert caught.value.path == "sub_recipes[0].values.topic"
    assert caught.value.message == (
        "has a quote, backslash, line break or control character from a parameter, which could change the "
        "sub-recipe; leave those out of the value, or pass it in the prompt"
    )


def test_a_file_that_may_not_be_read_is_a_problem_of_its_value(folder: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        prepare(RECIPE, {"topic": "t", "notes": "../secret.txt"}, RecipeFolder(str(folder), "reports"))
    assert str(caught.value) == (
        'spec.parameters[1].value: "notes": "../secret.txt" leaves the pool\'s recipe folder'
    )
