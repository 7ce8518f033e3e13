"""How goose is called: its command line and its environment. Pure.

Checked against goose 1.52.0.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Final

PASSED_ON: Final = (
    # the machine
    "PATH", "LANG", "LANGUAGE", "LC_*", "TZ", "USER", "LOGNAME",
    # the way out
    "SSL_CERT_*", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    # goose itself, and the providers in its documentation
    "GOOSE_*", "ANTHROPIC_*", "AVIAN_*", "AWS_*", "AZURE_FOUNDRY_*", "AZURE_OPENAI_*", "CEREBRAS_*",
    "DATABRICKS_*", "DEEPSEEK_*", "GCP_LOCATION", "GCP_PROJECT_ID", "GEMINI_*", "GITHUB_COPILOT_*",
    "GOOGLE_*", "GROQ_*", "HF_TOKEN", "INCEPTION_*", "LITELLM_*", "LMSTUDIO_*", "MISTRAL_*", "MOONSHOT_*",
    "NVIDIA_API_KEY", "OLLAMA_*", "OPENAI_*", "OPENROUTER_*", "PERPLEXITY_*", "SAGEMAKER_*", "SNOWFLAKE_*",
    "TETRATE_*", "VENICE_*", "XAI_*", "ZAI_*",
)  # fmt: skip
"""Shell patterns of the variables that goose gets from the worker; a pool may add to them, not take away."""

WITHHELD: Final = (
    # the worker's own: they would hand the agent the worker's access
    "KUBECONFIG", "KUBERNETES_*", "TEMPORAL_*", "GOOSEJOBS_*",
    # the secret of a goose server is not for its agents
    "GOOSE_SERVER__*",
    # goose's experimental loop ignores --max-turns while it waits for a structured output (seen in 1.52.0)
    "GOOSE_STATE_MACHINE",
)  # fmt: skip
"""Never passed on, whatever a pool adds."""

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|HEADERS)(_ID)?\Z", re.IGNORECASE)
_SHORTEST_SECRET: Final = 6


def goose_command(
    binary: str | PurePath,
    recipe_path: str | PurePath,
    session: str | None,
    *,
    max_turns: int,
    provider: str | None = None,
    model: str | None = None,
) -> list[str]:
    """The argument list of one run.

    Values are joined to their flags by `=`, so that one that begins with `-` stays a value.

    Args:
        binary: The goose executable.
        recipe_path: The rendered recipe; a real file, for goose follows no symlinks. Keep it out of the
            working directory: goose offers the recipes it finds there to the model as subagents.
        session: The session's name, unique on this machine: the only way to find the session later. None
            where nobody will look for it: in a pod, it goes with the pod.
        max_turns: The most turns the agent may take; goose's own default is 1000, and it ignores the
            `settings.max_turns` of a recipe.
        provider: `spec.model.provider`. None leaves it to the recipe's settings, then to the environment.
        model: `spec.model.name`; None likewise.
    """
    kept = "--no-session" if session is None else f"--name={session}"
    command = [str(binary), "run", f"--recipe={recipe_path}", kept]
    command += ["--quiet", "--output-format=stream-json", f"--max-turns={max_turns}"]
    if provider is not None:
        command.append(f"--provider={provider}")
    if model is not None:
        command.append(f"--model={model}")
    return command


def goose_environment(
    base: Mapping[str, str],
    *,
    home: str | PurePath,
    path_root: str | PurePath,
    temporary: str | PurePath,
    job_id: str,
    max_turns: int,
    provider: str | None = None,
    model: str | None = None,
    extra: Sequence[str] = (),
    own: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The whole environment of goose, and so of every tool it starts.

    Args:
        base: The worker's environment; only `PASSED_ON` and `extra` of it are kept, never `WITHHELD`.
        home: The run's temporary home.
        path_root: Where goose keeps its config, data and state.
        temporary: Where goose and its tools put temporary files: goose leaves long outputs of tools there.
        job_id: Which GooseJob this is, for tools to see (GOOSE_JOB_ID, as the old temporal-service set it).
        max_turns: As in `goose_command`.
        provider: `spec.model.provider`, which wins over the worker's GOOSE_PROVIDER.
        model: `spec.model.name`, which wins over the worker's GOOSE_MODEL.
        extra: The pool's further patterns, in the shell's syntax (`GITHUB_TOKEN`, `MYTOOL_*`).
        own: The GooseJob's variables (`spec.execution`), which win over the worker's. Nothing is withheld of
            them: who wrote the GooseJob may give its agent what it has.
    """
    allowed = (*PASSED_ON, *extra)
    kept = {k: v for k, v in base.items() if _matches(k, allowed) and not _matches(k, WITHHELD)}
    ours = {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "GOOSE_PATH_ROOT": str(path_root),
        "GOOSE_JOB_ID": job_id,
        "GOOSE_MAX_TURNS": str(max_turns),
        "GOOSE_MODE": "auto",  # any other asks for approval, and there is nobody to ask
        "GOOSE_DISABLE_KEYRING": "1",
        "GOOSE_TELEMETRY_ENABLED": "false",
        "GOOSE_DISABLE_SESSION_NAMING": "true",  # it would cost a model request per run
    }
    chosen = {"GOOSE_PROVIDER": provider, "GOOSE_MODEL": model}
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        **kept,
        **(own or {}),
        **{name: value for name, value in chosen.items() if value is not None},
        **ours,
    }


def secret_values(environment: Mapping[str, str]) -> frozenset[str]:
    """The values in an environment that must not appear in a status, told by their names.

    Short ones are left out: masking every `x` in a message would hide the message.
    """
    return frozenset(
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
    )


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
