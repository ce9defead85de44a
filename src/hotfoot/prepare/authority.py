"""The cluster's authority on the controller: made once, kept with its key, and what it issues for hosts."""

from __future__ import annotations

import datetime
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hotfoot.cluster import Cluster
from hotfoot.errors import HotfootError
from hotfoot.reach.certificates import (
    Issuer,
    KeyPair,
    belong_together,
    issue,
    new_issuer,
    new_key,
    private_pem,
    read_issuer,
    read_key,
    shortcoming,
)

AUTHORITY_DAYS = 3650
HOST_DAYS = 365
RENEW_DAYS = 30
"""A certificate that has less left is issued anew."""
CONTROLLER = "hotfoot-controller"


def folder_of(cluster: Cluster, cluster_file: Path) -> Path:
    """Return where the authority lies: ``libvirt.pki``, else ``pki`` beside the cluster file."""
    return cluster.libvirt.pki or cluster_file.resolve().parent / "pki"


class Authority:
    """The authority in a folder: ``cacert.pem``, ``cakey.pem`` (0600), and the controller's own certificate.

    Made when there is none; ``clientcert.pem`` and ``clientkey.pem`` are issued when they are missing, another's, or
    about to expire. Raises HotfootError when the folder holds an authority that cannot issue.
    """

    def __init__(self, folder: Path, cluster_name: str) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(folder):
                self._issuer = self._read(cluster_name)
                self._certify_controller()
        except OSError as error:
            raise HotfootError(f"the cluster's authority cannot be kept in {folder}: {error.strerror}") from None

    @property
    def pem(self) -> str:
        """The authority's certificate."""
        return self._issuer.pem

    def issue(self, names: Sequence[str]) -> KeyPair:
        """Issue a key and a certificate for a host, one year long, vouching for its names and addresses."""
        return issue(self._issuer, names[0], names, HOST_DAYS, new_key())

    def shortcoming(self, authority: str | None, certificates: Sequence[str | None], names: Sequence[str]) -> str:
        """Say why what a host has in place is to be made anew; empty when it is good.

        ``authority`` and ``certificates`` are the texts that the host has.
        """
        if authority is None or authority.strip() != self.pem.strip():
            return "the host trusts another authority"
        reasons = (self._shortcoming(text, names) for text in certificates)
        return next((reason for reason in reasons if reason), "")

    def _shortcoming(self, text: str | None, names: Sequence[str]) -> str:
        now, spare = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=RENEW_DAYS)
        return shortcoming(self._issuer.certificate, text, names, now, spare)

    def _read(self, cluster_name: str) -> Issuer:
        certificate, key = self.folder / "cacert.pem", self.folder / "cakey.pem"
        if not key.exists() and certificate.exists():
            raise HotfootError(
                f"{certificate} is an authority of somebody else, whose key is not here: put the key into {key}, let "
                "libvirt.pki in the cluster file name another folder, or issue the hosts' certificates yourself"
            )
        try:
            if not key.exists():
                _write(key, private_pem(new_key()), 0o600)
            if not certificate.exists():  # none yet, or killed just here; the same key vouches for what it issued
                made = new_issuer(f"Hotfoot authority of {cluster_name}", AUTHORITY_DAYS, read_key(key.read_text()))
                _write(certificate, made.pem, 0o644)
            found = read_issuer(certificate.read_text(), key.read_text())
        except ValueError as error:
            raise HotfootError(f"the authority in {self.folder} cannot issue certificates: {error}") from None
        left = found.certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        if left < datetime.timedelta(days=RENEW_DAYS):
            raise HotfootError(
                f"the authority in {self.folder} expires on {found.certificate.not_valid_after_utc:%Y-%m-%d}; move its "
                "files away, and the next run makes a new one"
            )
        return found

    def _certify_controller(self) -> None:
        certificate, key = self.folder / "clientcert.pem", self.folder / "clientkey.pem"
        text = certificate.read_text() if certificate.exists() and key.exists() else None
        if text and not self._shortcoming(text, [CONTROLLER]) and belong_together(text, key.read_text()):
            return
        pair = self.issue([CONTROLLER])
        _write(key, pair.private, 0o600)
        _write(certificate, pair.public, 0o644)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: two runs at once must not make two authorities."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, text: str, mode: int) -> None:
    """Put a whole file in place; no other eyes see it before it has its mode."""
    temporary = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        temporary.unlink()
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        temporary.rename(path)
    except OSError:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
