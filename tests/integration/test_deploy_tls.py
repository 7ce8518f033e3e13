"""The TLS of deploy/overlays/production, by certificates as its certificates.yaml asks for.

A real Temporal server takes what the values for its chart say, and our sides take the overlay's variables.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.service import TLSConfig

from goosejobs_local import certificates
from goosejobs_local.pki import Pki
from support.manifests import ROOT, Object, documents
from support.objects import apply, ended, goosejob
from support.rig import Rig
from support.temporal_server import TemporalServer, Tls, sqlite

Eventually = Callable[..., Any]

PRODUCTION = ROOT / "deploy/overlays/production"
CLIENT = "goosejobs"


class Deployed(Tls):
    """What is deployed, with the files of a test in place of mounted Secrets."""

    @classmethod
    def of(cls, directory: Path) -> "Deployed":
        """Make the certificates that certificates.yaml asks cert-manager for."""
        asked = {
            one["spec"]["secretName"]: one["spec"]["dnsNames"]
            for one in documents((PRODUCTION / "temporal/certificates.yaml").read_text())
            if "dnsNames" in one["spec"]
        }
        certificates.create(Pki(directory), {CLIENT: None}, asked)
        return cls(Pki(directory))

    @property
    def server(self) -> dict[str, Any]:
        """`global.tls`, as Temporal's chart writes it from the values."""
        values: Object = yaml.safe_load((PRODUCTION / "temporal/temporal-values.yaml").read_text())["server"]
        secrets = {one["name"]: one["secret"]["secretName"] for one in values["additionalVolumes"]}
        mounted = {one["mountPath"]: secrets[one["name"]] for one in values["additionalVolumeMounts"]}
        text = json.dumps(values["config"]["tls"])
        for path, secret in mounted.items():
            text = self._with_files(text, path, secret)
        found: dict[str, Any] = json.loads(text)
        return found

    @property
    def environment(self) -> dict[str, str]:
        """The variables of TLS in the overlay's ConfigMap."""
        generated = yaml.safe_load((PRODUCTION / "connection/kustomization.yaml").read_text())
        [literals] = [one["literals"] for one in generated["configMapGenerator"]]
        text = json.dumps([one for one in literals if one.startswith("TEMPORAL_TLS")])
        return dict(
            one.split("=", 1) for one in json.loads(self._with_files(text, "/etc/goosejobs/temporal", CLIENT))
        )

    @property
    def client(self) -> TLSConfig:
        """As operator and worker make it of these variables."""
        config = ClientConfig.load_client_connect_config(
            disable_file=True, override_env_vars=self.environment
        )["tls"]
        assert isinstance(config, TLSConfig)
        return config

    def _with_files(self, text: str, mounted: str, secret: str) -> str:
        pair = self.pki.pair(secret)
        files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": self.pki.authority}
        for name, file in files.items():
            text = text.replace(f"{mounted}/{name}", str(file))
        return text


@pytest.fixture(scope="module")
async def temporal(own_platform: Rig) -> TemporalServer:
    tls = Deployed.of(own_platform.home / "deployed-pki")
    server = TemporalServer(own_platform.home, sqlite(own_platform.home / "deployed.db"), tls)
    await server.start()
    return server


async def test_scheduled_goosejobs_run_by_the_deployed_certificates(
    own_platform: Rig, temporal: TemporalServer, eventually: Eventually, pool: str
) -> None:
    env: Any = temporal.environment
    with own_platform.start_operator(**env), own_platform.start_worker(pool=pool, **env):
        job = goosejob("scheduled", schedule="@every 2s", execution={"pool": pool})
        apply(own_platform.kubectl, "default", job)
        run = await ended(own_platform.kubectl, eventually, "default", "scheduled")
        assert run["outcome"] == "Succeeded"
        own_platform.kubectl("delete", "goosejob", "scheduled", "--timeout=180s")


async def test_without_a_certificate_nobody_gets_in(temporal: TemporalServer) -> None:
    assert temporal.tls is not None
    known = temporal.tls.client
    unknown = TLSConfig(domain=known.domain, server_root_ca_cert=known.server_root_ca_cert)
    with pytest.raises(RuntimeError):
        await Client.connect(temporal.address, tls=unknown)
