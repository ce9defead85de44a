"""Loading the cluster file: every mistake of it in one answer, each with its line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from hotfoot.cluster.contradictions import contradictions
from hotfoot.cluster.journal_url import has_password
from hotfoot.cluster.model import Cluster, Ssh
from hotfoot.cluster.sentences import mistake_of, place_name, shown
from hotfoot.cluster.yaml_lines import Document, Location, Mistake, Unreadable, read_document
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

DEFAULT_NAME = "hotfoot.yaml"
_LARGEST_FILE_BYTES = 1 << 20
_PKI_FILES = ("cacert.pem", "clientcert.pem", "clientkey.pem")


def load(path: Path | None, cwd: Path, *, certificates: bool = True) -> Cluster:
    """Read the cluster file at ``path`` (relative to ``cwd``), or ``hotfoot.yaml`` in ``cwd`` for None.

    Invariant: a Cluster is returned only if nothing at all is wrong with the file and with the keys and
    certificates that it names. Otherwise raises HotfootError (USAGE), for each mistake one line
    ``FILE:LINE: sentence.`` Without ``certificates`` those of ``libvirt.pki`` may have yet to be made.
    """
    if path is None and not os.path.lexists(cwd / DEFAULT_NAME):
        raise HotfootError(
            f"there is no {DEFAULT_NAME} in {cwd}: go to the folder that has one, name one by --cluster FILE "
            "or HOTFOOT_CLUSTER, or type `hotfoot lab up` to get hosts for trying.",
            ExitStatus.USAGE,
        )
    shown_path = path if path is not None else Path(DEFAULT_NAME)
    real_path = cwd / shown_path.expanduser()
    try:
        document = read_document(_read(real_path, shown_path))
    except Unreadable as error:
        raise _refusal(shown_path, [error.mistake]) from None
    cluster, mistakes = _judge(document, real_path.parent, certificates=certificates)
    if cluster is not None:
        mistakes += _password_for_all(cluster, document, real_path)
    if cluster is None or mistakes:
        raise _refusal(shown_path, mistakes)
    return cluster


def _read(path: Path, shown_path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        raise HotfootError(f"there is no cluster file {shown_path}; check the path.", ExitStatus.USAGE) from None
    except IsADirectoryError:
        raise HotfootError(
            f"{shown_path} is a folder; name the cluster file in it, such as {shown_path / DEFAULT_NAME}.",
            ExitStatus.USAGE,
        ) from None
    except OSError as error:
        raise HotfootError(
            f"the cluster file {shown_path} cannot be read: {error.strerror}.", ExitStatus.USAGE
        ) from None
    if len(raw) > _LARGEST_FILE_BYTES:
        raise HotfootError(
            f"{shown_path} is larger than 1 MiB, which no cluster file is; check the path.", ExitStatus.USAGE
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _refusal(shown_path, [Mistake(line, "this is not text in UTF-8")]) from None


def _judge(document: Document, folder: Path, *, certificates: bool) -> tuple[Cluster | None, list[Mistake]]:
    mistakes = list(document.mistakes)
    if document.value is None and not mistakes:
        return None, [Mistake(1, 'the file is empty; it needs at least the key "hosts"')]
    if not isinstance(document.value, dict):
        if document.value is not None:
            mistakes.append(
                Mistake(
                    document.line(()),
                    f'the file must hold keys such as "hosts:", not {shown(document.value)}',
                )
            )
        return None, mistakes
    cluster, errors = _validate(document, folder)
    mistakes += [mistake_of(error, document, Cluster) for error in errors]
    mistakes += contradictions(document, cluster)
    if cluster is not None:
        mistakes += _missing_files(cluster, document, certificates=certificates)
    return cluster, mistakes


def _validate(document: Document, folder: Path) -> tuple[Cluster | None, list[ErrorDetails]]:
    try:
        return Cluster.model_validate(document.value, context={"folder": folder}), []
    except ValidationError as error:
        # A list whose entries are all wrong is called too short as well, which nobody wants to read.
        return None, [e for e in error.errors(include_url=False) if not (e["type"] == "too_short" and e["input"])]


def _missing_files(cluster: Cluster, document: Document, *, certificates: bool) -> Iterator[Mistake]:
    yield from _missing_ssh_files(cluster.ssh, ("ssh",), document)
    for index, host in enumerate(cluster.hosts):
        yield from _missing_ssh_files(host.ssh, ("hosts", index, "ssh"), document)
    if cluster.ceph is not None and cluster.ceph.keyring is not None:
        yield from _missing_secret(cluster.ceph.keyring, ("ceph", "keyring"), document)
    for index, storage in enumerate(cluster.storage):
        if storage.keyring is not None:
            yield from _missing_secret(storage.keyring, ("storage", index, "keyring"), document)
    if cluster.openstack is not None and cluster.openstack.clouds_file is not None:
        yield from _missing_clouds(cluster.openstack.clouds_file, document)
    for index, iscsi in enumerate(cluster.iscsi):
        if iscsi.chap is not None:
            yield from _missing_secret(iscsi.chap.password_file, ("iscsi", index, "chap", "password_file"), document)
    pki = cluster.libvirt.pki
    if pki is None or cluster.libvirt.transport != "tls" or not certificates:
        return
    line = document.line(("libvirt", "pki"))
    if not pki.is_dir():
        yield Mistake(line, f"libvirt.pki: there is no folder {pki}; `hotfoot prepare` makes it")
        return
    missing = [name for name in _PKI_FILES if not os.access(pki / name, os.R_OK)]
    if missing:
        yield Mistake(line, f"libvirt.pki: the folder {pki} has no readable {' and no '.join(missing)}")


def _missing_clouds(path: Path, document: Document) -> Iterator[Mistake]:
    line = document.line(("openstack", "clouds_file"))
    if not path.is_file():
        yield Mistake(line, f"openstack.clouds_file: there is no file {path}")
    elif not os.access(path, os.R_OK):
        yield Mistake(line, f"openstack.clouds_file: {path} cannot be read by this user")


def _missing_secret(path: Path, place: Location, document: Document) -> Iterator[Mistake]:
    line, name = document.line(place), place_name(document, place)
    if not path.is_file():
        yield Mistake(line, f"{name}: there is no file {path}")
    elif not os.access(path, os.R_OK):
        yield Mistake(line, f"{name}: {path} cannot be read by this user")
    elif path.stat().st_mode & 0o077:
        yield Mistake(line, f"{name}: others may read {path}, which holds a secret: `chmod 600 {path}`")


def _password_for_all(cluster: Cluster, document: Document, path: Path) -> Iterator[Mistake]:
    url = cluster.journal.url
    if url is not None and has_password(url) and path.stat().st_mode & 0o077:
        yield Mistake(
            document.line(("journal", "url")),
            f"journal.url: others may read the password in this file: put it into ~/.pgpass, or `chmod 600 {path}`",
        )


def _missing_ssh_files(ssh: Ssh, location: Location, document: Document) -> Iterator[Mistake]:
    for key, path in (("key", ssh.key), ("known_hosts", ssh.known_hosts)):
        if path is None:
            continue
        place = (*location, key)
        line, name = document.line(place), place_name(document, place)
        if not path.is_file():
            hint = "" if key == "key" else "; `ssh-keyscan ADDRESS` prints what belongs into it, to be checked"
            yield Mistake(line, f"{name}: there is no file {path}{hint}")
        elif not os.access(path, os.R_OK):
            yield Mistake(line, f"{name}: {path} cannot be read by this user")
        elif key == "key" and path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o077:
            # The rule of OpenSSH (sshkey_perm_ok), which ignores such a key.
            yield Mistake(line, f"{name}: others may read {path}, so ssh refuses it: `chmod 600 {path}`")


def _refusal(path: Path, mistakes: list[Mistake]) -> HotfootError:
    """All mistakes in the order of the file; one told twice, by way of an alias, is told once."""
    lines = [
        f"{path}:{mistake.line}: {mistake.sentence}{'' if mistake.sentence.endswith('?') else '.'}"
        for mistake in sorted(set(mistakes))
    ]
    return HotfootError("\n".join(lines), ExitStatus.USAGE)
