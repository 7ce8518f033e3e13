"""docs/authors.md has an entry for each answer to a request, and for no other."""

import re
from pathlib import Path

from goosejobs.model.status import Answer

PAGE = (Path(__file__).parents[3] / "docs/authors.md").read_text()


def test_every_answer_is_explained_and_no_other() -> None:
    assert re.findall(r"^\| `(\w+)` \| .+ \|$", PAGE, re.MULTILINE) == [each.value for each in Answer]
