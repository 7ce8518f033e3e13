"""Images for nodes that reach no registry: goose on a base made from Debian's packages; kept in the cache."""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from goosejobs_local import debian, images
from goosejobs_local.debian import NotDebian
from goosejobs_local.progress import Progress, Report, silent
from goosejobs_local.resolve import Resolved, cache_directory

_INCLUDE = ("ca-certificates", "libgomp1", "libstdc++6")
"""What goose needs beyond the smallest Debian."""
_EXCLUDE = (
    "./var/cache/apt",
    "./var/lib/apt/lists",
    "./usr/share/doc",
    "./usr/share/man",
    "./usr/share/locale",
)
_USER = "1000:1000"


def goose_reference(version: str) -> str:
    """The name of the image that `goose` makes."""
    return f"localhost/goosejobs/goose:{version}"


def goose(binary: Resolved, report: Report = silent, environ: Mapping[str, str] = os.environ) -> Path:
    """An archive of goose's image, made once for each version; `ctr images import` takes it.

    Args:
        binary: goose.
        report: Told what is going on.
        environ: Says where the cache is.

    Raises:
        NotDebian: The base cannot be made here.
    """
    base = base_layer(report, environ)
    size = binary.path.stat().st_size
    key = hashlib.sha256(f"{base.name} {binary.version} {size}".encode()).hexdigest()[:12]
    target = base.parent / f"goose-{binary.version}-{key}.tar"
    with FileLock(base.parent / "lock"):
        if not target.exists():
            report(Progress("goose-image", "packing goose's image"))
            _pack(binary, base, target)
            report(Progress("goose-image", "packed goose's image", finished=True))
    return target


def base_layer(report: Report = silent, environ: Mapping[str, str] = os.environ) -> Path:
    """A tar of a small Debian of this machine's own release; needs root.

    Raises:
        NotDebian: This is no Debian, or its packages cannot be had.
    """
    folder = cache_directory(environ) / "images"
    folder.mkdir(parents=True, exist_ok=True)
    codename = _codename()
    key = hashlib.sha256(repr((codename, _INCLUDE, _EXCLUDE)).encode()).hexdigest()[:12]
    target = folder / f"base-{codename}-{key}.tar"
    with FileLock(folder / "lock"):
        if not target.exists():
            report(Progress("base-image", f"making a Debian {codename} for images"))
            _bootstrap(codename, target)
            report(Progress("base-image", f"made a Debian {codename} for images", finished=True))
    return target


def _pack(binary: Resolved, base: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as folder:
        layer = Path(folder) / "goose.tar"
        images.layer([images.Entry(binary.path.resolve(), "/usr/local/bin/goose")], layer)
        settings = {"Entrypoint": ["goose"], "User": _USER, "Env": [f"PATH={os.defpath}:/usr/local/bin"]}
        images.archive(goose_reference(binary.version), [base, layer], settings, target)


def _bootstrap(codename: str, target: Path) -> None:
    if os.geteuid() != 0:
        raise NotDebian("making a Debian for images needs root: `goosejobs build --all` as root, once")
    source = _source(codename)
    tools = debian.packages(["debootstrap"])
    program = tools.which("debootstrap")
    if program is None:
        raise NotDebian("debootstrap is missing: install it")
    scripts = program.parents[2] / "usr" / "share" / "debootstrap"
    env = {**os.environ, **tools.environment(os.environ), "DEBOOTSTRAP_DIR": str(scripts)}
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as folder:
        root, part = Path(folder) / "root", Path(folder) / "base.tar"
        # It mounts things in there; in namespaces of its own none of them is left behind.
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        include = f"--include={','.join(_INCLUDE)}"
        # Without it, a machine that lacks Debian's keys would take what it gets.
        signed = "--force-check-gpg"
        make = [*alone, str(program), signed, "--variant=minbase", include, codename, str(root), source]
        _run(make, env, "making a Debian base")
        excluded = [f"--exclude={path}/*" for path in _EXCLUDE]
        pack = ["tar", "-C", str(root), "--sort=name", "--numeric-owner", *excluded, "-cf", str(part), "."]
        _run(pack, env, "packing a Debian base")
        part.replace(target)


def _codename() -> str:
    """This machine's release of Debian."""
    release = platform.freedesktop_os_release() if sys.platform == "linux" else {}
    codename = release.get("VERSION_CODENAME", "") if release.get("ID") == "debian" else ""
    if not codename:
        raise NotDebian("images are made from Debian's packages, and this machine runs another system")
    return codename


def _source(codename: str) -> str:
    """Where this machine gets the main packages of its release."""
    argv = ["apt-get", "indextargets", "--format", "$(CREATED_BY) $(COMPONENT) $(REPO_URI) $(CODENAME)"]
    try:
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotDebian("there is no apt here that knows where Debian's packages are") from error
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[:2] == ["Packages", "main"] and fields[3] == codename:
            return fields[2]
    raise NotDebian(f"apt knows no source of Debian {codename}'s main packages")


def _run(argv: list[str], env: Mapping[str, str], what: str) -> None:
    done = subprocess.run(argv, env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise NotDebian(f"{what} failed with code {done.returncode}:\n{end}")
