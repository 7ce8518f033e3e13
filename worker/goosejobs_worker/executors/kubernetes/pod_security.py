"""The Pod Security Standard "restricted" (v1.35), checked before a pod is asked for. Pure.

https://kubernetes.io/docs/concepts/security/pod-security-standards: each of its controls, those of "baseline"
included, is one function here. The namespace's own admission checks again, where it is set to enforce.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Object = Mapping[str, Any]
Setters = list[tuple[str, Object]]
"""Field paths and their security contexts."""

_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_VOLUME_KINDS: Final = frozenset(
    {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
        "projected", "secret",
    }
)  # fmt: skip
_SAFE_SYSCTLS: Final = frozenset(
    {
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
    }
)  # fmt: skip
_SELINUX_TYPES: Final = frozenset(
    {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
)
_CONFINED: Final = frozenset({"RuntimeDefault", "Localhost"})
_APPARMOR_ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"


def violations(pod_spec: Object, pod_metadata: Object) -> list[str]:
    """What the profile "restricted" refuses in a pod; empty: it is admitted.

    Args:
        pod_spec: The pod's spec, as it would be sent.
        pod_metadata: Its metadata.

    Returns:
        For each breach the field's path, what is wrong with it, and what is allowed.
    """
    found = [problem for check in _POD_CHECKS for problem in check(pod_spec)]
    found += _apparmor_annotations(pod_metadata)
    for path, container in _containers(pod_spec):
        found += [problem for check in _CONTAINER_CHECKS for problem in check(pod_spec, path, container)]
    return found


def _containers(spec: Object) -> Iterator[tuple[str, Object]]:
    for kind in _CONTAINERS:
        for index, container in enumerate(spec.get(kind) or ()):
            yield f"spec.{kind}[{index}]", container


def _context(part: Object) -> Object:
    return part.get("securityContext") or {}


def _setters(spec: Object) -> Setters:
    """Every security context of the pod."""
    return [
        ("spec.securityContext", _context(spec)),
        *((f"{path}.securityContext", _context(container)) for path, container in _containers(spec)),
    ]


def _is_windows(spec: Object) -> bool:
    """Whether the API server itself refuses the Linux fields in it."""
    return (spec.get("os") or {}).get("name") == "windows"


def _has_own_users(spec: Object) -> bool:
    return spec.get("hostUsers") is False


def _host_namespaces(spec: Object) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"spec.{field} must not be true"


def _volumes(spec: Object) -> Iterator[str]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        kinds = sorted(kind for kind, source in volume.items() if kind != "name" and source is not None)
        if kinds and _VOLUME_KINDS.isdisjoint(kinds):  # one of no kind is an emptyDir to the API server
            yield f"spec.volumes[{index}].{kinds[0]} must be one of {', '.join(sorted(_VOLUME_KINDS))}"


def _sysctls(spec: Object) -> Iterator[str]:
    for index, sysctl in enumerate(_context(spec).get("sysctls") or ()):
        if sysctl.get("name") not in _SAFE_SYSCTLS:
            yield f"spec.securityContext.sysctls[{index}]: {sysctl.get('name')} is not one of the safe ones"


def _selinux(spec: Object) -> Iterator[str]:
    for path, context in _setters(spec):
        options = context.get("seLinuxOptions") or {}
        if (options.get("type") or "") not in _SELINUX_TYPES:
            yield f"{path}.seLinuxOptions.type must not be {options['type']}"
        for field in ("user", "role"):
            if options.get(field):
                yield f"{path}.seLinuxOptions.{field} must not be set"


def _apparmor(spec: Object) -> Iterator[str]:
    for path, context in _setters(spec):
        profile = context.get("appArmorProfile")
        if profile is not None and profile.get("type") not in _CONFINED:
            yield f"{path}.appArmorProfile.type must be RuntimeDefault or Localhost, if set"


def _apparmor_annotations(metadata: Object) -> Iterator[str]:
    for key, value in (metadata.get("annotations") or {}).items():
        allowed = value in {"", "runtime/default"} or value.startswith("localhost/")
        if key.startswith(_APPARMOR_ANNOTATION) and not allowed:
            yield f"metadata.annotations[{key}] must be runtime/default or localhost/..., if set"


def _host_process(spec: Object) -> Iterator[str]:
    for path, context in _setters(spec):
        if (context.get("windowsOptions") or {}).get("hostProcess"):
            yield f"{path}.windowsOptions.hostProcess must not be true"


def _run_as_user(spec: Object) -> Iterator[str]:
    for path, context in _setters(spec):
        if context.get("runAsUser") == 0 and not _has_own_users(spec):
            yield f"{path}.runAsUser must not be 0"


def _pod_run_as_non_root(spec: Object) -> Iterator[str]:
    if _context(spec).get("runAsNonRoot") is False and not _has_own_users(spec):
        yield "spec.securityContext.runAsNonRoot must be true"


def _pod_seccomp(spec: Object) -> Iterator[str]:
    profile = _context(spec).get("seccompProfile")
    if profile is not None and profile.get("type") not in _CONFINED and not _is_windows(spec):
        yield "spec.securityContext.seccompProfile.type must be RuntimeDefault or Localhost"


def _run_as_non_root(spec: Object, path: str, container: Object) -> Iterator[str]:
    effective = _context(container).get("runAsNonRoot")
    if effective is None:
        effective = _context(spec).get("runAsNonRoot")
    if effective is not True and not _has_own_users(spec):
        yield f"{path}.securityContext.runAsNonRoot, or the pod's, must be true"


def _seccomp(spec: Object, path: str, container: Object) -> Iterator[str]:
    profile = _context(container).get("seccompProfile") or _context(spec).get("seccompProfile") or {}
    if profile.get("type") not in _CONFINED and not _is_windows(spec):
        yield f"{path}.securityContext.seccompProfile.type, or the pod's, must be RuntimeDefault or Localhost"


def _privileges(spec: Object, path: str, container: Object) -> Iterator[str]:
    context = _context(container)
    if context.get("privileged"):
        yield f"{path}.securityContext.privileged must not be true"
    if context.get("allowPrivilegeEscalation") is not False and not _is_windows(spec):
        yield f"{path}.securityContext.allowPrivilegeEscalation must be false"
    if context.get("procMount") not in {None, "Default"}:
        yield f"{path}.securityContext.procMount must be Default, if set"


def _capabilities(spec: Object, path: str, container: Object) -> Iterator[str]:
    if _is_windows(spec):
        return
    capabilities = _context(container).get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield f"{path}.securityContext.capabilities.drop must have ALL"
    for capability in capabilities.get("add") or ():
        if capability != "NET_BIND_SERVICE":
            yield f"{path}.securityContext.capabilities.add must not have {capability}"


def _host_ports(_: Object, path: str, container: Object) -> Iterator[str]:
    for index, port in enumerate(container.get("ports") or ()):
        if port.get("hostPort"):
            yield f"{path}.ports[{index}].hostPort must not be set"


def _hosts_of_handlers(_: Object, path: str, container: Object) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or {}
    handlers = {
        **{probe: container.get(probe) for probe in ("livenessProbe", "readinessProbe", "startupProbe")},
        **{f"lifecycle.{hook}": lifecycle.get(hook) for hook in ("postStart", "preStop")},
    }
    for name, handler in handlers.items():
        for kind in ("httpGet", "tcpSocket"):
            if ((handler or {}).get(kind) or {}).get("host"):
                yield f"{path}.{name}.{kind}.host must not be set"


_POD_CHECKS: Final[tuple[Callable[[Object], Iterator[str]], ...]] = (
    _host_namespaces,
    _volumes,
    _sysctls,
    _selinux,
    _apparmor,
    _host_process,
    _run_as_user,
    _pod_run_as_non_root,
    _pod_seccomp,
)
_CONTAINER_CHECKS: Final[tuple[Callable[[Object, str, Object], Iterator[str]], ...]] = (
    _run_as_non_root,
    _seccomp,
    _privileges,
    _capabilities,
    _host_ports,
    _hosts_of_handlers,
)
