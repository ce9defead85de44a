"""The cached part of the lab's OpenStack: Debian 13 with RabbitMQ and MariaDB, OpenStack's Python, and its databases.

The services themselves come from the Python package index, in the versions of ``openstack/requirements.txt``, by pip
with this machine's settings. That file is what `uv pip compile --python-version 3.13` makes of nova, keystone,
openstack-placement, glance, neutron, cinder, gunicorn, PyMySQL and SQLAlchemy<2.1. The databases have all their tables,
and are copied for each lab instead of made.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib.metadata import distributions
from importlib.resources import as_file, files
from pathlib import Path

from hotfoot.lab import openstack_config
from hotfoot.lab.cache import Kept, built_once, version_of
from hotfoot.lab.command import LabError, run
from hotfoot.lab.image import SUITE
from hotfoot.lab.openstack_config import PROGRAMS
from hotfoot.lab.openstack_parts import Passwords
from hotfoot.lab.spec import Lab

PACKAGES = ("rabbitmq-server", "mariadb-server-core", "mariadb-client-core", "python3", "iproute2", "ceph-common")
LIBVIRT_BINDING = "python3-libvirt"
"""Debian's own, so that it is never newer than the libvirt of the hosts."""
_COMMANDS = (
    "nova-compute nova-conductor nova-scheduler nova-manage keystone-manage placement-manage glance-manage "
    "neutron-db-manage cinder-manage cinder-scheduler cinder-volume privsep-helper"
).split()
_TOOLS = "build.sh databases.py mariadb.cnf".split()
_FORMAT = "1"
_PYTHON = "3.13"
"""That of the suite: wheels are chosen for it, whatever Python this machine runs."""
_GLIBC = range(14, 42)
"""The minor versions that wheels may name; what has no fitting wheel would be built for this machine's Python."""
_SHIPPED = {
    "nova": ("api-paste.ini",),
    "neutron": ("api-paste.ini",),
    "glance": ("glance-api-paste.ini",),
    "cinder": ("api-paste.ini", "resource_filters.json"),
}
"""Settings that are taken as the packages bring them, by service."""


def ensure(say: Callable[[str], None]) -> Path:
    """Return the root, building it first where it is not cached; two callers at once build it once.

    Raises LabError with the reason if it cannot be built.
    """
    return built_once(_kept(), _build, say) / "root"


def programs() -> Path:
    """Return what hosts need of it, which must have been built."""
    kept = _kept()
    if not kept.is_there:
        raise LabError("The lab's OpenStack is gone from the cache; `hotfoot lab down` and `lab up` make it anew.")
    return kept.folder / "root" / PROGRAMS


def _text(name: str) -> str:
    return (files("hotfoot.lab") / "openstack" / name).read_text()


def _kept() -> Kept:
    recipe = [_FORMAT, SUITE, _PYTHON, str(_GLIBC), *PACKAGES, LIBVIRT_BINDING, *_COMMANDS]
    recipe += [f"{service}/{name}" for service, names in _SHIPPED.items() for name in names]
    recipe += [_text(name) for name in ("requirements.txt", *_TOOLS)]
    content = "Debian 13 with Nova, Keystone, Placement, Glance, Neutron, Cinder, RabbitMQ and MariaDB; some minutes"
    return Kept("openstack", version_of("\n".join(recipe)), "the lab's OpenStack", content)


def _build(work: Path) -> None:
    work.chmod(0o755)
    root = work / "root"
    unpack_binding = (
        'cd "$1/tmp" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && '
        f'apt-get -q download {LIBVIRT_BINDING} && dpkg-deb -x {LIBVIRT_BINDING}_*.deb "$1/binding"'
    )
    run(
        ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet"]
        + ["--aptopt=APT::Install-Recommends false", f"--include={','.join(PACKAGES)}"]
        + ["--customize-hook=" + unpack_binding, SUITE, str(root)],
        timeout_s=900,
    )
    place = root / PROGRAMS
    python = place / "python"
    _install(work, python)
    for found in (root / "binding/usr/lib/python3/dist-packages").iterdir():
        found.rename(python / found.name)
    shutil.rmtree(root / "binding")
    _commands(place)
    _settings(root)
    with as_file(files("hotfoot.lab") / "openstack" / "build.sh") as script:
        unshare = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child=KILL", "--propagation=private"]
        run([*unshare, "sh", str(script), str(root)], timeout_s=1800)
    for left in (*root.glob("var/lib/apt/lists/*"), *root.glob("tmp/*"), *root.glob("var/log/*")):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _install(work: Path, python: Path) -> None:
    """Install the pinned packages for the root's Python with a pip of this machine's Python."""
    tool = work / "tool"
    run([sys.executable, "-m", "venv", str(tool)], timeout_s=300)
    target = ["--target", str(python), "--python-version", _PYTHON, "--implementation", "cp"]
    target += [word for abi in (f"cp{_PYTHON.replace('.', '')}", "abi3", "none") for word in ("--abi", abi)]
    platforms = [*(f"manylinux_2_{minor}_x86_64" for minor in reversed(_GLIBC)), "manylinux2014_x86_64", "any"]
    target += [word for platform in platforms for word in ("--platform", platform)]
    # All are named, so that none needs to be resolved, and what they say of their Python is not asked of this one.
    pip = [str(tool / "bin" / "pip"), "install", "--quiet", "--no-deps", "--no-compile", "--ignore-requires-python"]
    with as_file(files("hotfoot.lab") / "openstack" / "requirements.txt") as requirements:
        run([*pip, *target, "--requirement", str(requirements)], timeout_s=1800)
    shutil.rmtree(tool)


def _commands(place: Path) -> None:
    """Write the commands that are used, and what makes the databases."""
    python = place / "python"
    shutil.rmtree(python / "bin")
    (place / "bin").mkdir()
    points = {
        point.name: point
        for distribution in distributions(path=[str(python)])
        for point in distribution.entry_points
        if point.group == "console_scripts"
    }
    for name in _COMMANDS:
        module, function = points[name].value.split(":")
        script = place / "bin" / name
        script.write_text(
            f"#!/usr/bin/python3\nimport sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n"
        )
        script.chmod(0o755)
    (place / "lib").mkdir()
    for name in _TOOLS:
        (place / "lib" / name).write_text(_text(name))


def _settings(root: Path) -> None:
    """Write what the databases are made with; each lab lays its own over it."""
    nobody = Lab(
        name="nobody",
        number=0,
        transport="tls",
        storage="none",
        accelerator="tcg",
        accelerator_reason="",
        link_rate="1gbit",
        supervisor_pid=0,
        supervisor_started=0,
        hosts=(),
    )
    settings = openstack_config.controller_files(nobody, Passwords("none", "none", "none"), ("", "", "", ""))
    for relative, file in settings.items():
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content)
    for service, names in _SHIPPED.items():
        for name in names:
            shutil.copy(root / PROGRAMS / "python" / "etc" / service / name, root / "etc" / service / name)
