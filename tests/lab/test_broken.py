"""Things broken one by one on hosts that were ready: each is found, named rightly, and mended."""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.lab.breaks import BREAKS, Break
from tests.lab.command import hotfoot
from tests.lab.labs import TestLab, bring_up

from hotfoot.lab import storage

HOST = "n2"
TABLE = Path(__file__).parents[2] / "docs" / "broken.md"


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestLab]:
    """Three bare hosts that prepare made ready; one n2 of them is broken, mended, and broken again."""
    if reason := storage.obstacle("glusterfs"):
        pytest.skip(reason)
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    hotfoot("lab", "down", "--name", "broken")
    lab = bring_up("broken", "--bare", "--hosts", "3", "--storage", "glusterfs")
    prepared = lab.run("prepare", "--yes", "--json", timeout_s=400)
    assert prepared.status == 0, prepared.blocking
    yield lab
    hotfoot("lab", "down", "--name", "broken")
    monkeypatch.undo()


@pytest.fixture(scope="module")
def usual(ready: TestLab) -> frozenset[str]:
    """What check says of these hosts when nothing is broken: advice that belongs to a lab."""
    return codes(ready)


def codes(lab: TestLab) -> frozenset[str]:
    said = lab.run("check", "--json")
    return frozenset(finding["code"] for finding in said.json["findings"])


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: re.sub(r"\W+", "-", broken.what))
def test_it_is_found_named_and_mended(ready: TestLab, usual: frozenset[str], broken: Break) -> None:
    ready.on(HOST, "sh", "-c", filled(broken.script, ready))
    try:
        found = codes(ready) - usual
    finally:  # or all tests after it would fail as well
        if broken.by_hand:
            ready.on(HOST, "sh", "-c", broken.by_hand)
    mended = ready.run("prepare", "--yes", "--json", timeout_s=400)
    assert broken.codes <= found
    strange = {code for code in found - broken.codes if not code.startswith(broken.also)}
    assert strange == set()
    left = {finding["code"] for finding in mended.json["findings"]} - usual
    assert left == set(), mended.json["problems"]
    assert mended.status == 0


def test_the_table_in_the_documentation_is_this_one() -> None:
    print(table())
    assert table() in TABLE.read_text()


def table() -> str:
    """Return the table of what is broken, and the finding that names it, as the documentation has it."""
    rows = [f"| {each.what} | `{'`, `'.join(sorted(each.codes))}` | {each.mended} |" for each in BREAKS]
    return "\n".join(["| broken | found as | mended by |", "|---|---|---|", *rows]) + "\n"


def filled(script: str, lab: TestLab) -> str:
    """Put certificates of the lab's own authority, and n1's UUID, into a script."""
    day = datetime.timedelta(days=1)
    if "EXPIRED" in script:
        return script.replace("EXPIRED", certificate(lab, [HOST], -day))
    if "FOREIGN" in script:
        return script.replace("FOREIGN", certificate(lab, ["elsewhere"], 90 * day))
    if "UUID" in script:
        return script.replace(
            "UUID",
            lab.on("n1", "sh", "-c", "sed -n 's/^host_uuid = \"\\(.*\\)\"/\\1/p' /etc/libvirt/libvirtd.conf").strip(),
        )
    return script


def certificate(lab: TestLab, names: list[str], valid: datetime.timedelta) -> str:
    """Return a server certificate (PEM in base64) for the key that the host has, valid for so long from now."""
    pki = lab.cluster.parent / "pki"
    authority = x509.load_pem_x509_certificate((pki / "cacert.pem").read_bytes())
    key = serialization.load_pem_private_key((pki / "cakey.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    now = datetime.datetime.now(datetime.UTC)
    theirs = x509.load_pem_x509_certificate(lab.on(HOST, "cat", "/etc/pki/libvirt/servercert.pem").encode())
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
            if names != [HOST]
            else list(theirs.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        ),
        critical=False,
    )
    made = builder.sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
