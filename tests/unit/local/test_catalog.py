"""The list of programs: pinned, complete, and cached under a name that changes with what is inside."""

import re

import pytest

from goosejobs_local import catalog, local
from goosejobs_local.catalog import Binary

CATALOG = catalog.load()


def module_file(binary: Binary) -> str:
    """The go.mod that it is built with."""
    assert binary.go
    return (binary.go.directory / "go.mod").read_text()


@pytest.mark.parametrize("binary", CATALOG.values(), ids=lambda binary: binary.name)
def test_every_program_can_be_had_without_its_projects_download(binary: Binary) -> None:
    assert binary.go or binary.npm


def test_the_catalog_has_what_the_platform_needs() -> None:
    assert set(local.BINARIES) <= set(CATALOG)


@pytest.mark.parametrize("binary", [one for one in CATALOG.values() if one.go], ids=lambda one: one.name)
def test_the_go_module_pins_the_version_that_the_catalog_names(binary: Binary) -> None:
    assert binary.go
    pinned = re.findall(r"^\s*(?:require )?(\S+) (v\S+)", module_file(binary), re.MULTILINE)
    owners = [version for path, version in pinned if binary.go.package.startswith(path)]
    assert f"v{binary.version}" in owners


@pytest.mark.parametrize("binary", [one for one in CATALOG.values() if one.go], ids=lambda one: one.name)
def test_the_go_module_names_the_package_as_its_tool(binary: Binary) -> None:
    assert binary.go
    assert re.search(rf"^(tool )?\s*{re.escape(binary.go.package)}$", module_file(binary), re.MULTILINE)


def test_the_development_server_is_built_with_a_store_that_survives_requests_that_are_given_up() -> None:
    """Not with the driver that it asks for: see the remark in its go.mod."""
    found = re.search(r"modernc.org/sqlite v(\d+)\.(\d+)", module_file(CATALOG["temporal"]))
    assert found
    assert (int(found[1]), int(found[2])) >= (1, 44)


@pytest.mark.parametrize("binary", CATALOG.values(), ids=lambda binary: binary.name)
def test_a_program_on_path_may_differ_from_the_catalog_in_its_patch_version_only(binary: Binary) -> None:
    assert binary.accept == binary.version.rpartition(".")[0] + "."


@pytest.mark.parametrize(
    "binary", [one for one in CATALOG.values() if one.download], ids=lambda one: one.name
)
def test_downloads_come_over_https_and_with_a_checksum(binary: Binary) -> None:
    assert binary.download
    for url in (binary.download.url, binary.download.checksum_url):
        assert binary.fill(url).startswith("https://")
        assert binary.version in binary.fill(url)


def test_the_variable_that_names_another_binary_is_spelt_as_the_readme_says() -> None:
    assert CATALOG["kube-apiserver"].variable == "GOOSEJOBS_BIN_KUBE_APISERVER"


def test_the_place_in_the_cache_changes_with_what_decides_the_content_and_with_nothing_else() -> None:
    binary = CATALOG["etcd"]
    assert binary.go
    assert binary.download
    other_flags = binary.model_copy(update={"go": binary.go.model_copy(update={"ldflags": "-w"})})
    other_mirror = binary.model_copy(
        update={"download": binary.download.model_copy(update={"url": "https://x"})}
    )
    assert Binary.model_validate(other_flags.model_dump()).key != binary.key
    assert Binary.model_validate(other_mirror.model_dump()).key == binary.key
