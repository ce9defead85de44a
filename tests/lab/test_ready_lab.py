"""A lab that comes up ready can be mended like any other cluster: its authority's key is kept."""

from __future__ import annotations

from tests.lab.breaks import PKI
from tests.lab.labs import TestLab

CODES = {"certificates.missing"}


def test_the_key_of_the_authority_is_for_its_owner_only(lab: TestLab) -> None:
    key = lab.cluster.parent / "pki" / "cakey.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    for host in lab.hosts:
        assert lab.on(host, "sh", "-c", f"grep -rlF '{key.read_text().splitlines()[1]}' /etc || true") == ""


def test_a_certificate_that_is_gone_is_found_and_mended(lab: TestLab) -> None:
    options = ("--topic", "certificates", "--host", "n2", "--json")
    usual = {finding["code"] for finding in lab.run("check", *options).json["findings"]}
    lab.on("n2", "rm", f"{PKI}/servercert.pem")
    found = {finding["code"] for finding in lab.run("check", *options).json["findings"]}
    assert found - usual == CODES
    mended = lab.run("prepare", "--yes", *options, timeout_s=400)
    assert mended.status == 0, mended.out + mended.err
    assert {finding["code"] for finding in mended.json["findings"]} <= usual
    assert lab.on("n1", "virsh", "-q", "-c", "qemu+tls://n2/system", "hostname").strip() == "n2"
    lab.verify("vm1")
