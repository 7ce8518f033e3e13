"""Paths of objects in the Kubernetes API: a name cannot lead anywhere else."""

import pytest
from yarl import URL

from goosejobs.clients.errors import NotFound
from goosejobs.clients.kube import object_path


@pytest.mark.parametrize("name", ["../secrets/x", "x/status", "x?dryRun=All", "x#", "%2e%2e", "a b", "..."])
def test_a_name_stays_one_part_of_the_path_as_the_http_client_sends_it(name: str) -> None:
    sent = URL(f"https://server{object_path('/api/v1', 'configmaps', 'team-a', name)}")
    assert sent.raw_path.startswith("/api/v1/namespaces/team-a/configmaps/")
    assert (sent.raw_path.count("/"), sent.query_string, sent.fragment) == (6, "", "")


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_what_the_http_client_would_take_out_of_a_path_is_nobodys_name(name: str) -> None:
    for namespace, of in ((name, "x"), ("team-a", name)):
        with pytest.raises(NotFound):
            object_path("/api/v1", "configmaps", namespace, of)


def test_no_name_is_all_of_them() -> None:
    assert object_path("/api/v1", "configmaps") == "/api/v1/configmaps"
