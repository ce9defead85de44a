from typing import Any

import pytest
from tests.readiness.libvirt_hosts import cluster, codes, host, judged, mended, recorded

from hotfoot.readiness.facts import FolderFact, HostFacts, OsFact, StorageFact
from hotfoot.readiness.finding import Severity
from hotfoot.readiness.qemu_conf import TOPIC

CONF = "/etc/libvirt/qemu.conf"
PLAIN = cluster()


def wrong(*lines: str, name: str = "n1", **more: Any) -> HostFacts:
    text = recorded("debian13-qemu.conf") + "".join(f"{line}\n" for line in lines)
    return host(name, files={CONF: text}, **more)


def test_a_file_as_it_is_installed_has_nothing_wrong() -> None:
    assert judged(TOPIC, PLAIN, host(), host("n2")) == ()


@pytest.mark.parametrize(
    ("lines", "code", "severity"),
    [
        (['user = "root"', 'group = "root"'], "runs-as-root", Severity.DANGEROUS),
        (['user = "+0"'], "runs-as-root", Severity.DANGEROUS),
        (["dynamic_ownership = 0"], "owners-not-set", Severity.DANGEROUS),
        (["migration_port_min = 50000", "migration_port_max = 50100"], "other-ports", Severity.DANGEROUS),
        (["default_tls_x509_verify = 0"], "senders-not-verified", Severity.DANGEROUS),
        (["migrate_tls_x509_verify = 0"], "senders-not-verified", Severity.DANGEROUS),
        (['migration_address = "10.0.0.77"'], "foreign-address", Severity.BLOCKS),
        (['migration_host = "10.0.0.77"'], "foreign-address", Severity.BLOCKS),
    ],
)
def test_what_is_wrong_is_taken_out(lines: list[str], code: str, severity: Severity) -> None:
    before = wrong(*lines)
    found = judged(TOPIC, PLAIN, before)
    assert codes(found) == [f"{code} n1"]
    assert found[0].severity is severity
    assert all(line in found[0].evidence for line in lines)
    (after,) = mended(found, [before])
    assert judged(TOPIC, PLAIN, after) == ()
    assert after.text(CONF) == recorded("debian13-qemu.conf")


@pytest.mark.parametrize(
    "line",
    [
        'user = "libvirt-qemu"',
        "dynamic_ownership = 1",
        "migration_port_min = 49152",
        'migration_address = "0.0.0.0"',
        'migration_address = "10.0.0.1"',
        'migration_host = "n1.example.org"',
        'migrate_tls_x509_cert_dir = "/etc/pki/qemu/"',
        "remember_owner = 1",
    ],
)
def test_what_is_right_is_left(line: str) -> None:
    assert judged(TOPIC, PLAIN, wrong(line)) == ()


def test_all_that_guides_do_together_is_undone_in_one_go() -> None:
    before = wrong('user = "root"', 'group = "root"', "dynamic_ownership = 0")
    found = judged(TOPIC, PLAIN, before)
    assert codes(found) == ["runs-as-root n1", "owners-not-set n1"]
    assert judged(TOPIC, PLAIN, *mended(found, [before])) == ()


def test_a_user_unlike_the_others_is_set_like_theirs() -> None:
    hosts = [wrong('user = "qemu2"', name=name) for name in ("n1", "n2")] + [wrong(name="n3")]
    many = cluster(hosts=[{"name": f"n{n}", "address": f"10.0.0.{n}"} for n in (1, 2, 3)])
    found = judged(TOPIC, many, *hosts)
    assert codes(found) == ["user-differs n3"]
    after = mended(found, hosts)
    assert judged(TOPIC, many, *after) == ()
    assert 'user = "qemu2"' in after[2].text(CONF)


def test_a_user_set_on_one_host_only_goes() -> None:
    many = cluster(hosts=[{"name": f"n{n}", "address": f"10.0.0.{n}"} for n in (1, 2, 3)])
    hosts = [host("n1"), host("n2"), wrong('user = "qemu2"', name="n3")]
    found = judged(TOPIC, many, *hosts)
    assert codes(found) == ["user-differs n3"]
    assert judged(TOPIC, many, *mended(found, hosts)) == ()


def test_distributions_call_the_user_differently() -> None:
    redhat = wrong('user = "qemu"', name="n2", os=OsFact(id="rhel", id_like="fedora"))
    assert judged(TOPIC, PLAIN, wrong('user = "libvirt-qemu"'), redhat) == ()


def test_owners_cannot_be_remembered_without_attributes() -> None:
    shared = cluster(storage=[{"path": "/srv", "type": "nfs", "source": "nas:/srv"}])
    before = wrong("remember_owner = 1", storage=StorageFact(folders=(FolderFact(path="/srv", xattr=False),)))
    found = judged(TOPIC, shared, before)
    assert codes(found) == ["owners-forgotten n1"]
    assert judged(TOPIC, shared, *mended(found, [before])) == ()


def test_other_certificates_are_remarked() -> None:
    (found,) = judged(TOPIC, PLAIN, wrong('migrate_tls_x509_cert_dir = "/etc/pki/other"'))
    assert (found.code, found.severity, found.changes) == ("qemu_conf.certificates-elsewhere", Severity.ADVICE, ())


@pytest.mark.parametrize("line", ['security_driver = "none"', 'security_driver = [ "none" ]'])
def test_confinement_that_is_there_and_not_used_is_remarked(line: str) -> None:
    able = OsFact(id="debian", apparmor=True)
    assert codes(judged(TOPIC, PLAIN, wrong(line, os=able))) == ["not-confined n1"]
    assert judged(TOPIC, PLAIN, wrong(line)) == ()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('vnc_listen "0.0.0.0"', "unreadable"),
        ("user = root", "unreadable"),
        ('dynamic_ownership = "0"', "wrong-type"),
        ("dynamic_ownership = 2", "wrong-type"),
        ('namespaces = "mount"', "wrong-type"),
        ("usr = 1", "unknown-setting"),
    ],
)
def test_mistakes_in_the_file_are_found(line: str, code: str) -> None:
    (found,) = judged(TOPIC, PLAIN, wrong(line))
    assert found.code == f"qemu_conf.{code}"
    assert line in found.evidence


def test_a_misspelt_name_is_guessed() -> None:
    (found,) = judged(TOPIC, PLAIN, wrong("dynamic_ownersip = 0"))
    assert "dynamic_ownership is perhaps meant" in found.what
    assert found.changes == ()
