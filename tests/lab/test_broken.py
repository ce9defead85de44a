"""Things broken on hosts that were ready: each is found, named rightly, and mended."""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.lab.breaks import BREAKS, CONSEQUENCES, Break, groups
from tests.lab.command import hotfoot
from tests.lab.labs import TestLab, bring_up

from hotfoot.lab import storage

NAME = "broken"
TABLE = Path(__file__).parents[2] / "docs" / "broken.md"


class Hosts:
    """Three bare hosts that prepare made ready; things on them are broken, mended, and broken again.

    A break of its own on each host at the same time, where they cannot hide each other: check and prepare then look at
    three of them in one go. What is not all well leaves nothing behind: the next trial begins with new hosts.
    """

    def __init__(self) -> None:
        self._lab = _ready()
        self._are_clean = True
        self._complaints: dict[str, list[str]] = {}
        self._usual = self._found()
        """What check says of these hosts when nothing is broken, by host: advice that belongs to a lab."""

    def complaints(self, broken: Break) -> list[str]:
        """Return what was not as it should be when that was broken, with others of its group or alone."""
        if broken.what not in self._complaints:
            self._complaints |= self._apart(next(group for group in groups(BREAKS) if broken in group.values()))
        return self._complaints[broken.what]

    def _apart(self, group: Mapping[str, Break]) -> dict[str, list[str]]:
        """Try a group, and each of it alone if anything was not well: who is well alone suffered from another."""
        together = self._try(group)
        if not any(together.values()) or len(group) == 1:
            return together
        alone: dict[str, list[str]] = {}
        for host, broken in group.items():
            alone |= self._try({host: broken})
        return alone if any(alone.values()) else together

    def _try(self, group: Mapping[str, Break]) -> dict[str, list[str]]:
        """Break, check and prepare; return the complaints about each break."""
        if not self._are_clean:
            self._lab = _ready()
        self._are_clean = False
        try:
            complaints = self._tried(group)
        except AssertionError as error:  # a command failed or hung, on whosever account
            complaints = {broken.what: [str(error)] for broken in group.values()}
        self._are_clean = not any(complaints.values())
        return complaints

    def _tried(self, group: Mapping[str, Break]) -> dict[str, list[str]]:
        for host, broken in group.items():
            self._lab.on(host, "sh", "-c", filled(broken.script, self._lab, host))
        found = self._found() - self._usual
        for host, broken in group.items():
            if broken.by_hand:
                self._lab.on(host, "sh", "-c", broken.by_hand)
        mended = self._lab.run("prepare", "--yes", "--json", timeout_s=400)
        left = _where(mended.json["findings"]) - self._usual
        complaints = {}
        for host, broken in group.items():
            # What is broken alone may show anywhere, and what shows where nothing is broken is its doing.
            mine = {code for place, code in found if place == host or len(group) == 1}
            complaints[broken.what] = [
                *(f"{code} was not found" for code in sorted(broken.codes - mine)),
                *(f"{code} was found" for code in sorted(mine) if not _expected(broken, code)),
                *(f"{code} is left on {place}" for place, code in sorted(left)),
                *([] if mended.status == 0 else [f"prepare ended with {mended.status}", *mended.json["problems"]]),
            ]
        return complaints

    def _found(self) -> frozenset[tuple[str, str]]:
        return _where(self._lab.run("check", "--json").json["findings"])


def _ready() -> TestLab:
    hotfoot("lab", "down", "--name", NAME)
    lab = bring_up(NAME, "--bare", "--hosts", "3", "--storage", "glusterfs")
    prepared = lab.run("prepare", "--yes", "--json", timeout_s=400)
    assert prepared.status == 0, prepared.blocking
    return lab


def _where(findings: Sequence[Mapping[str, Any]]) -> frozenset[tuple[str, str]]:
    return frozenset((finding["host"], finding["code"]) for finding in findings)


def _expected(broken: Break, code: str) -> bool:
    return code in broken.codes or code.startswith((*CONSEQUENCES, *broken.also))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """The hosts of all tests of this module."""
    if reason := storage.obstacle("glusterfs"):
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield Hosts()
        hotfoot("lab", "down", "--name", NAME)


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: re.sub(r"\W+", "-", broken.what))
def test_it_is_found_named_and_mended(hosts: Hosts, broken: Break) -> None:
    assert hosts.complaints(broken) == []


def test_the_table_in_the_documentation_is_this_one() -> None:
    print(table())
    assert table() in TABLE.read_text()


def table() -> str:
    """Return the table of what is broken, and the finding that names it, as the documentation has it."""
    rows = [f"| {each.what} | `{'`, `'.join(sorted(each.codes))}` | {each.mended} |" for each in BREAKS]
    return "\n".join(["| broken | found as | mended by |", "|---|---|---|", *rows]) + "\n"


def filled(script: str, lab: TestLab, host: str) -> str:
    """Put names of hosts, certificates of the lab's own authority, and n1's UUID, into a script."""
    day = datetime.timedelta(days=1)
    peer = lab.hosts[(lab.hosts.index(host) + 1) % len(lab.hosts)]
    script = script.replace("HOST", host).replace("PEER", peer)
    if "EXPIRED" in script:
        return script.replace("EXPIRED", certificate(lab, host, [host], -day))
    if "FOREIGN" in script:
        return script.replace("FOREIGN", certificate(lab, host, ["elsewhere"], 90 * day))
    if "UUID" in script:
        return script.replace(
            "UUID",
            lab.on("n1", "sh", "-c", "sed -n 's/^host_uuid = \"\\(.*\\)\"/\\1/p' /etc/libvirt/libvirtd.conf").strip(),
        )
    return script


def certificate(lab: TestLab, host: str, names: list[str], valid: datetime.timedelta) -> str:
    """Return a server certificate (PEM in base64) for the key that the host has, valid for so long from now."""
    pki = lab.cluster.parent / "pki"
    authority = x509.load_pem_x509_certificate((pki / "cacert.pem").read_bytes())
    key = serialization.load_pem_private_key((pki / "cakey.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    now = datetime.datetime.now(datetime.UTC)
    theirs = x509.load_pem_x509_certificate(lab.on(host, "cat", "/etc/pki/libvirt/servercert.pem").encode())
    builder = x509.CertificateBuilder(
        issuer_name=authority.subject,
        subject_name=theirs.subject,
        public_key=theirs.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(days=30),
        not_valid_after=now + valid,
        extensions=[extension for extension in theirs.extensions if extension.oid != x509.SubjectAlternativeName.oid],
    ).add_extension(
        x509.SubjectAlternativeName(
            [x509.DNSName(name) for name in names]
            if names != [host]
            else list(theirs.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        ),
        critical=False,
    )
    made = builder.sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
