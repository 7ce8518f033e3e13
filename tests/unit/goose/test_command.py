"""goose's command line and environment."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goosejobs_worker.goose.command import goose_command, goose_environment, secret_values


def environment(
    base: dict[str, str], *extra: str, provider: str | None = None, own: dict[str, str] | None = None
) -> dict[str, str]:
    return goose_environment(
        base,
        home="/run/home",
        path_root="/run/goose",
        temporary="/run/tmp",
        job_id="team-a/x",
        max_turns=7,
        provider=provider,
        extra=extra,
        own=own,
    )


def test_the_command_line_says_all_that_matters() -> None:
    assert goose_command("/bin/goose", "/r.yaml", "s-1", max_turns=50, provider="openai", model="gpt-5") == [
        "/bin/goose",
        "run",
        "--recipe=/r.yaml",
        "--name=s-1",
        "--quiet",
        "--output-format=stream-json",
        "--max-turns=50",
        "--provider=openai",
        "--model=gpt-5",
    ]


def test_a_pod_keeps_no_session() -> None:
    command = goose_command("goose", "/r.yaml", None, max_turns=1)
    assert "--no-session" in command
    assert not any(argument.startswith("--name") for argument in command)


def test_provider_and_model_are_left_to_goose_where_the_spec_names_none() -> None:
    command = goose_command("goose", "r.yaml", "s", max_turns=1)
    assert not any(argument.startswith(("--provider", "--model")) for argument in command)


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_no_value_stands_alone_where_it_could_be_read_as_a_flag(
    session: str, provider: str, model: str
) -> None:
    command = goose_command("goose", "r.yaml", session, max_turns=1, provider=provider, model=model)
    assert len(command) == 9
    assert {f"--name={session}", f"--provider={provider}", f"--model={model}"} <= set(command)


def test_the_environment_is_ours_whatever_the_worker_has() -> None:
    worker = {
        "HOME": "/root",
        "GOOSE_MODE": "approve",
        "GOOSE_MAX_TURNS": "9999",
        "GOOSE_PATH_ROOT": "/elsewhere",
    }
    assert environment(worker) == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/run/home",
        "TMPDIR": "/run/tmp",
        "GOOSE_PATH_ROOT": "/run/goose",
        "GOOSE_JOB_ID": "team-a/x",
        "GOOSE_MAX_TURNS": "7",
        "GOOSE_MODE": "auto",
        "GOOSE_DISABLE_KEYRING": "1",
        "GOOSE_TELEMETRY_ENABLED": "false",
        "GOOSE_DISABLE_SESSION_NAMING": "true",
    }


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "LANG",
        "LC_ALL",
        "TZ",
        "SSL_CERT_FILE",
        "HTTPS_PROXY",
        "no_proxy",
        "OPENAI_API_KEY",
        "AWS_REGION",
        "GOOSE_PROVIDER_SKIP_BACKOFF",
        "ANTHROPIC_HOST",
        "AZURE_OPENAI_ENDPOINT",
        "OLLAMA_HOST",
        "GROQ_API_KEY",
    ],
)
def test_goose_gets_what_it_and_its_providers_document(name: str) -> None:
    assert environment({name: "value"})[name] == "value"


@pytest.mark.parametrize(
    "name", ["DATABASE_URL", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "LD_PRELOAD", "VAULT_TOKEN"]
)
def test_nothing_else_of_the_worker_reaches_goose_unless_the_pool_adds_it(name: str) -> None:
    assert name not in environment({name: "value"})
    assert environment({name: "value"}, f"{name[:4]}*")[name] == "value"


@pytest.mark.parametrize(
    "name",
    [
        "KUBECONFIG",
        "KUBERNETES_SERVICE_HOST",
        "TEMPORAL_API_KEY",
        "GOOSEJOBS_POOL",
        "GOOSE_SERVER__SECRET_KEY",
        "GOOSE_STATE_MACHINE",
    ],
)
def test_the_workers_own_access_stays_with_the_worker_even_if_the_pool_adds_everything(name: str) -> None:
    assert name not in environment({name: "value"}, "*", name)


def test_the_specs_provider_wins_over_the_workers() -> None:
    assert environment({"GOOSE_PROVIDER": "ollama"}, provider="openai")["GOOSE_PROVIDER"] == "openai"
    assert environment({"GOOSE_PROVIDER": "ollama"})["GOOSE_PROVIDER"] == "ollama"


def test_secrets_are_told_by_their_names_and_short_values_are_not_masked() -> None:
    values = secret_values(
        {
            "OPENAI_API_KEY": "key-123456",
            "AWS_SECRET_ACCESS_KEY": "secret-123456",
            "DATABRICKS_TOKEN": "token-123456",
            "OPENAI_CUSTOM_HEADERS": "Authorization=x-123456",
            "GROQ_API_KEY": "x",
            "GOOSE_MODEL": "gpt-5-turbo",
            "GOOSE_MAX_TOKENS": "4096000",
        }
    )
    assert values == {"key-123456", "secret-123456", "token-123456", "Authorization=x-123456"}


def test_the_goosejobs_own_variables_win_over_the_workers_but_not_over_ours() -> None:
    own = {
        "OPENAI_API_KEY": "theirs",
        "KUBECONFIG": "/by/hand",
        "LD_PRELOAD": "x.so",
        "HOME": "/elsewhere",
        "GOOSE_PROVIDER": "other",
    }
    made = environment({"OPENAI_API_KEY": "the worker's"}, provider="openai", own=own)
    assert {name: made[name] for name in own} == {**own, "HOME": "/run/home", "GOOSE_PROVIDER": "openai"}
