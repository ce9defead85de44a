from typing import Any

import pytest
from tests.readiness.libvirt_hosts import (
    DAY_S,
    NOW_S,
    authority,
    certificate,
    cluster,
    codes,
    host,
    identity,
    judged,
    mended,
    pki,
    public_sha256,
)

from hotfoot.readiness.certificates import TOPIC
from hotfoot.readiness.change import MakeCertificate, Refresh
from hotfoot.readiness.facts import ClockFact, HostFacts, NameFact
from hotfoot.readiness.finding import Finding, Severity

TLS = cluster()
ONLY_LIBVIRT = cluster(migration={"native_tls": False})
SERVER = "/etc/pki/libvirt/servercert.pem"
CLIENT = "/etc/pki/libvirt/clientcert.pem"
KEY = "/etc/pki/libvirt/private/serverkey.pem"
QEMU_KEY = "/etc/pki/qemu/server-key.pem"
NAMES = ("n1", "10.0.0.1")


def with_certificate(path: str, pem: str) -> HostFacts:
    return host(pki=pki(*NAMES, replaced={path: pem}))


def with_key(path: str, **has: Any) -> HostFacts:
    return host(pki=pki(*NAMES, keys={path: has}))


def issued(found: Finding) -> list[MakeCertificate]:
    return [change.step for change in found.changes if isinstance(change.step, MakeCertificate)]


def test_right_hosts_have_nothing_wrong() -> None:
    assert judged(TOPIC, TLS, host(), host("n2")) == ()


def test_nothing_is_needed_where_nothing_speaks_tls() -> None:
    bare = host(pki=pki(*NAMES).model_copy(update={"certificates": (), "keys": ()}))
    assert judged(TOPIC, cluster(libvirt={"transport": "ssh"}, migration={"native_tls": False}), bare) == ()


def test_a_bare_host_gets_both_places() -> None:
    bare = host(pki=pki(*NAMES).model_copy(update={"certificates": (), "keys": ()}))
    found = judged(TOPIC, TLS, bare)
    assert codes(found) == ["missing n1", "missing n1"]
    libvirt, qemu = (issued(each)[0] for each in found)
    assert (libvirt.place, libvirt.names, libvirt.key_owner, libvirt.key_mode) == (
        "libvirt",
        ("n1", "10.0.0.1"),
        "root:root",
        0o600,
    )
    # kvm may have other members: the group of QEMU's own name may not.
    assert (qemu.place, qemu.key_owner, qemu.key_mode) == ("qemu", "root:libvirt-qemu", 0o640)
    assert Refresh(unit="libvirtd.service") in [change.step for change in found[0].changes]


def test_all_addresses_and_the_hosts_own_name_are_vouched_for() -> None:
    declared = cluster(
        hosts=[{"name": "n1", "address": "10.0.0.1", "migration_address": "10.9.0.1"}], migration={"native_tls": False}
    )
    named = host(names=NameFact(hostname="n1.example.org", addresses=("10.0.0.1", "10.9.0.1")))
    (found,) = judged(TOPIC, declared, named)
    assert found.code == "certificates.wrong-names"
    assert "10.9.0.1" in found.what
    assert "n1.example.org" in found.what
    assert set(issued(found)[0].names) == {"n1", "n1.example.org", "10.0.0.1", "10.9.0.1"}


def test_a_wildcard_vouches_for_one_label() -> None:
    named = host(
        names=NameFact(hostname="n1.example.org", addresses=("10.0.0.1",)),
        pki=pki("n1", "10.0.0.1", replaced={SERVER: certificate("n1", "10.0.0.1", "*.example.org")}),
    )
    assert judged(TOPIC, ONLY_LIBVIRT, named) == ()


@pytest.mark.parametrize("path", [SERVER, CLIENT, "/etc/pki/CA/cacert.pem"])
def test_one_missing_file_is_named(path: str) -> None:
    (found,) = judged(TOPIC, ONLY_LIBVIRT, with_certificate(path, ""))
    assert found.code == "certificates.missing"
    assert path in found.what


@pytest.mark.parametrize(
    ("days", "code", "severity"),
    [
        ((-300, -1), "expired", Severity.BLOCKS),
        ((-300, 29), "expires-soon", Severity.ADVICE),
        ((2, 300), "not-yet-valid", Severity.BLOCKS),
    ],
)
def test_time_is_judged_by_the_hosts_clock(days: tuple[int, int], code: str, severity: Severity) -> None:
    (found,) = judged(TOPIC, ONLY_LIBVIRT, with_certificate(SERVER, certificate(*NAMES, days=days)))
    assert (found.code, found.severity) == (f"certificates.{code}", severity)
    assert SERVER in found.what
    # A wrong clock is no reason for a new certificate.
    assert bool(issued(found)) is (code != "not-yet-valid")


def test_the_same_certificate_lasts_by_another_clock() -> None:
    expired = with_certificate(SERVER, certificate(*NAMES, days=(-300, 0)))
    assert codes(judged(TOPIC, ONLY_LIBVIRT, expired)) == ["expired n1"]
    early = expired.model_copy(update={"clock": ClockFact(now_s=NOW_S - 9 * DAY_S)})
    assert codes(judged(TOPIC, ONLY_LIBVIRT, early)) == ["expires-soon n1"]


@pytest.mark.parametrize(
    ("pem", "code"),
    [
        (certificate(*NAMES, by="stranger"), "not-signed"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "unreadable"),
        (certificate("n9", "10.0.0.9"), "wrong-names"),
        (certificate(*NAMES, uses=("client",)), "wrong-use"),
        (certificate(*NAMES, own="other"), "key-mismatch"),
    ],
)
def test_a_certificate_that_does_not_serve_is_issued_anew(pem: str, code: str) -> None:
    (found,) = judged(TOPIC, ONLY_LIBVIRT, with_certificate(SERVER, pem))
    assert (found.code, found.severity) == (f"certificates.{code}", Severity.BLOCKS)
    assert issued(found)


def test_a_client_certificate_must_be_one() -> None:
    (found,) = judged(TOPIC, ONLY_LIBVIRT, with_certificate(CLIENT, certificate(*NAMES, uses=("server",))))
    assert found.code == "certificates.wrong-use"


def test_other_keys_than_rsa_are_remarked() -> None:
    curve = with_certificate(SERVER, certificate(*NAMES, curve=True))
    found = judged(TOPIC, ONLY_LIBVIRT, curve)
    assert "not-rsa n1" in codes(found)


def test_a_chain_over_an_intermediate_is_followed() -> None:
    # A root that has signed nothing but itself, bundled with the authority that signed the host's.
    bundle = authority("root").pem + authority().pem
    bundled = host(pki=pki(*NAMES, replaced={"/etc/pki/CA/cacert.pem": bundle}))
    assert judged(TOPIC, ONLY_LIBVIRT, bundled) == ()


def test_another_authority_on_one_host_is_mended_on_all() -> None:
    odd = host(
        "n2",
        pki=pki(
            "n2",
            "10.0.0.2",
            replaced={
                "/etc/pki/CA/cacert.pem": authority("stranger").pem,
                SERVER: certificate("n2", "10.0.0.2", by="stranger"),
                CLIENT: certificate("n2", "10.0.0.2", by="stranger"),
            },
        ),
    )
    three = cluster(
        hosts=[{"name": f"n{n}", "address": f"10.0.0.{n}"} for n in (1, 2, 3)], migration={"native_tls": False}
    )
    found = judged(TOPIC, three, host(), odd, host("n3"))
    assert codes(found) == ["other-authority n2"]
    assert {change.host for change in found[0].changes} == {"n1", "n2", "n3"}


@pytest.mark.parametrize(
    ("path", "has", "code", "severity"),
    [
        (KEY, {"mode": 0o644}, "key-open", Severity.DANGEROUS),
        (QEMU_KEY, {"mode": 0o644}, "key-open", Severity.DANGEROUS),
        (KEY, {"uid": 1000}, "key-of-another", Severity.DANGEROUS),
        (QEMU_KEY, {"uid": 1000}, "key-of-another", Severity.DANGEROUS),
        (KEY, {"mode": 0o640}, "key-open-to-group", Severity.ADVICE),
    ],
)
def test_a_key_that_others_can_read_is_closed(path: str, has: dict[str, int], code: str, severity: Severity) -> None:
    opened = with_key(path, **has)
    found = judged(TOPIC, TLS, opened)
    assert codes(found) == [f"{code} n1"]
    assert found[0].severity is severity
    assert judged(TOPIC, TLS, *mended(found, [opened])) == ()


@pytest.mark.parametrize("has", [{"mode": 0o600, "gid": 0}, {"mode": 0o640, "gid": 0}, {"mode": 0o640, "gid": 104}])
def test_a_key_that_qemu_cannot_read_is_given_to_it(has: dict[str, int]) -> None:
    closed = with_key(QEMU_KEY, **has)
    found = judged(TOPIC, TLS, closed)
    assert codes(found) == ["key-unreadable n1"]
    assert judged(TOPIC, TLS, *mended(found, [closed])) == ()


@pytest.mark.parametrize(
    "has",
    [{"mode": 0o640, "gid": 993}, {"mode": 0o640, "gid": 64055}, {"mode": 0o400, "uid": 64055}],
)
def test_qemu_may_read_its_key_in_several_ways(has: dict[str, int]) -> None:
    assert judged(TOPIC, TLS, with_key(QEMU_KEY, **has)) == ()


def test_who_qemu_is_comes_from_its_configuration() -> None:
    other: dict[str, Any] = {"files": {"/etc/libvirt/qemu.conf": 'user = "root"\n'}}
    assert judged(TOPIC, TLS, host(pki=pki(*NAMES, keys={QEMU_KEY: {"mode": 0o600, "gid": 0}}), **other)) == ()


def test_without_known_users_nothing_is_said_of_qemus_keys() -> None:
    unknown = with_key(QEMU_KEY, mode=0o600, gid=0).model_copy(update={"identity": identity(users=())})
    assert judged(TOPIC, TLS, unknown) == ()


def test_no_digest_of_a_key_is_no_mismatch() -> None:
    assert judged(TOPIC, TLS, with_key(KEY, public_key_sha256="")) == ()
    assert public_sha256() != public_sha256("other")
