"""What the charts' values may be: a JSON schema for each chart, strict, so that a slip gets a sentence.

Helm checks values against it at install, upgrade, lint and template. Lists of Kubernetes' own types are left
to the API server. Draft 7, which older Helms know, too.
"""

from typing import Any

from goosejobs.model.execution import ENV_NAME
from goosejobs_worker.executors.kubernetes.template import PoolTemplate

Schema = dict[str, Any]

NAME = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"
NAMESPACE = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
LIST: Schema = {"type": "array", "items": {"type": "object"}}
OBJECT: Schema = {"type": "object"}
BOOL: Schema = {"type": "boolean"}
TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
SECRET: Schema = {"type": "string", "pattern": NAME, "maxLength": 253}
KEY: Schema = {"type": "string", "pattern": r"^[-._a-zA-Z0-9]+$", "maxLength": 253}


def integer(minimum: int, maximum: int = 2**31 - 1, *, null: bool = False) -> Schema:
    """A whole number within bounds, or null."""
    return {"type": ["integer", "null"] if null else "integer", "minimum": minimum, "maximum": maximum}


def choice(*values: str) -> Schema:
    """One of a few words."""
    return {"type": "string", "enum": list(values)}


def part(**properties: Schema) -> Schema:
    """An object with these properties and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def texts(key: str) -> Schema:
    """An object of texts whose keys match a pattern. Not by propertyNames: Helm then names another place."""
    return {"type": "object", "additionalProperties": False, "patternProperties": {key: TEXT}}


def several(item: Schema) -> Schema:
    """A list in which nothing stands twice."""
    return {"type": "array", "uniqueItems": True, "items": item}


POD_MONITOR = part(
    enabled=BOOL, labels=TEXTS, interval={"type": "string", "pattern": r"^([0-9]+(ms|[smh]))*$"}
)

SHARED: dict[str, Schema] = {
    "global": OBJECT,
    "temporal": part(
        address={"type": "string", "pattern": r"^[^:/\s]+:[0-9]{1,5}$"},
        namespace={"type": "string", "minLength": 1},
        apiKey=part(secretName=SECRET, key=KEY),
        tls=part(
            enabled=BOOL, serverName=TEXT, caSecret=part(name=SECRET, key=KEY), clientSecret=part(name=SECRET)
        ),
    ),
    "encryption": part(secretName=SECRET, key=KEY),
    "log": part(format=choice("json", "text"), level=choice("DEBUG", "INFO", "WARNING", "ERROR")),
    "image": part(
        repository={"type": "string", "pattern": r"^[a-z0-9][a-zA-Z0-9./_:-]*$"},
        tag={
            "type": "string",
            "pattern": r"^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$|^$",
        },
        digest={"type": "string", "pattern": r"^sha256:[0-9a-f]{64}$|^$"},
        pullPolicy=choice("Always", "IfNotPresent", "Never"),
    ),
    "imagePullSecrets": {"type": "array", "items": {**part(name=SECRET), "required": ["name"]}},
    "nameOverride": {"type": "string", "pattern": NAME, "maxLength": 63},
    "fullnameOverride": {"type": "string", "pattern": NAME, "maxLength": 52},
    "serviceAccount": part(create=BOOL, name=SECRET, annotations=TEXTS),
    "rbac": part(create=BOOL),
    "security": part(
        runAsUser=integer(1, null=True), runAsGroup=integer(0, null=True), fsGroup=integer(0, null=True)
    ),
    "resources": part(requests=OBJECT, limits=OBJECT, claims=LIST),
    "extraEnv": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    "extraVolumes": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    "extraVolumeMounts": {"type": "array", "items": {"type": "object", "required": ["name", "mountPath"]}},
    "podAnnotations": TEXTS,
    "podLabels": TEXTS,
    "nodeSelector": TEXTS,
    "tolerations": LIST,
    "affinity": OBJECT,
    "topologySpreadConstraints": LIST,
    "priorityClassName": TEXT,
    "podDisruptionBudget": part(
        enabled=BOOL,
        maxUnavailable={"type": ["integer", "string"], "pattern": r"^[0-9]{1,3}%$", "minimum": 1},
    ),
    "metrics": part(podMonitor=POD_MONITOR),
    "networkPolicy": part(
        enabled=BOOL,
        metricsFrom=LIST,
        apiServer=part(
            ports={"type": "array", "minItems": 1, "items": integer(1, 65535)},
            cidrs=several({"type": "string", "pattern": r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"}),
        ),
        extraEgress=LIST,
    ),
}

CRDS: dict[str, Schema] = {"global": OBJECT, "annotations": TEXTS, "labels": TEXTS}

OPERATOR: dict[str, Schema] = SHARED | {
    "metrics": part(podMonitor=POD_MONITOR, prometheusRule=part(enabled=BOOL, labels=TEXTS)),
    "namespaces": several({"type": "string", "pattern": NAMESPACE}),
    "replicas": integer(0, 10),
    "resyncSeconds": integer(1),
    "workers": integer(1, 256),
    "leaseSeconds": integer(3, 600),
    "deletionTimeoutSeconds": integer(0),
    "cluster": {"type": "string", "maxLength": 253},
    "terminationGracePeriodSeconds": integer(31),
}

WORKER: dict[str, Schema] = SHARED | {
    "pool": {"type": "string", "minLength": 1, "maxLength": 40, "pattern": NAMESPACE},
    "mode": choice("Job", "Process"),
    "namespaces": several({"type": "string", "pattern": rf"{NAMESPACE}|^\*$"}),
    "replicas": integer(0, null=True),
    "maxConcurrentRuns": integer(1, 1000, null=True),
    "jobHeartbeatSeconds": integer(5, 600),
    "terminationGracePeriodSeconds": integer(1, null=True),
    "provider": part(secretName=SECRET, env=texts(ENV_NAME)),
    "recipes": part(files=texts(KEY["pattern"]), configMaps=several(SECRET)),
    "template": {"$ref": "#/$defs/PoolTemplate"},
    "process": part(
        secrets=several(SECRET),
        configMaps=several(SECRET),
        passEnv=several(TEXT),
        drainSeconds=integer(0),
        killGraceSeconds=integer(0, 60),
    ),
    "autoscaling": part(
        enabled=BOOL,
        minReplicas=integer(1),
        maxReplicas=integer(1),
        targetCPUUtilizationPercentage=integer(1, 1000),
        scaleDownSeconds=integer(0, 3600),
    ),
}


def of_charts() -> dict[str, Schema]:
    """The schema of each chart's values, by the chart's name."""
    return {
        "goosejobs-crds": _schema("goosejobs-crds", CRDS),
        "goosejobs": _schema("goosejobs", OPERATOR),
        "goosejobs-worker": _schema("goosejobs-worker", WORKER) | {"$defs": pool_template()},
    }


def _schema(chart: str, properties: dict[str, Schema]) -> Schema:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Values of the chart {chart}",
        **part(**properties),
    }


def pool_template() -> dict[str, Schema]:
    """The pool's template as the worker reads it, and the types that it is made of."""
    schema = PoolTemplate.model_json_schema()
    definitions = schema.pop("$defs")
    return {name: _plain(one) for name, one in sorted({**definitions, "PoolTemplate": schema}.items())}


def _plain(schema: Any) -> Any:
    """Pydantic's schema without what is not for Helm: titles, defaults, and a type that only a CRD knows."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "int-or-string":
        return {"type": ["integer", "string"]}
    if "$ref" in schema:  # in draft 7 nothing may stand beside it
        return {"$ref": schema["$ref"]}
    kept = {key: value for key, value in schema.items() if key not in {"default", "description", "title"}}
    if isinstance(properties := schema.get("properties"), dict):
        kept["properties"] = properties  # which may well have one that is called `title`
        return {
            **{key: _plain(value) for key, value in kept.items() if key != "properties"},
            "properties": {name: _plain(one) for name, one in properties.items()},
        }
    return {key: _plain(value) for key, value in kept.items()}
