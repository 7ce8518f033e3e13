"""What the pages show as YAML, the API server takes."""

import json
import re

import pytest
import yaml

from support.manifests import ROOT, Object
from support.objects import Kubectl, goosejob

PAGES = ("README.md", "docs/admin.md", "docs/authors.md")


def blocks() -> list[tuple[str, Object]]:
    """Each block of YAML, with its page and number."""
    found = []
    for page in PAGES:
        texts = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
        found += [(f"{page}-{number}", yaml.safe_load(text)) for number, text in enumerate(texts, 1)]
    return found


@pytest.mark.parametrize(
    ("name", "block"), blocks(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_example_is_accepted(kubectl: Kubectl, namespace: str, name: str, block: Object) -> None:
    if "apiVersion" in block:
        block["metadata"]["namespace"] = namespace
    else:  # a part of a spec
        assert set(block) == {"spec"}, name
        block = goosejob("shown", **block["spec"])
    answer = kubectl(
        "apply", "-n", namespace, "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(block)
    )
    assert "(server dry run)" in answer.stdout


def test_the_pages_have_examples() -> None:
    assert {name.split("-")[0] for name, _ in blocks()} == {*PAGES}
