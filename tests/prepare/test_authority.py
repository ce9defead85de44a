from __future__ import annotations

import datetime
import ipaddress
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from hotfoot.cluster.validation import cluster_from
from hotfoot.errors import HotfootError
from hotfoot.prepare.authority import CONTROLLER, Authority, folder_of
from hotfoot.reach.certificates import belong_together, issue, new_issuer, new_key, private_pem, shortcoming

NAMES = ("n1", "n1.example.org", "10.0.0.1", "fd00::1")


def certificate(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"), "east")


def test_what_it_issues_is_good_for_both_ends_and_a_year(authority: Authority) -> None:
    pair = authority.issue(NAMES)
    found = certificate(pair.public)
    found.verify_directly_issued_by(certificate(authority.pem))
    given = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert given.get_values_for_type(x509.DNSName) == ["n1", "n1.example.org"]
    assert given.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(each) for each in NAMES[2:]]
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    key = found.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 3072
    left = found.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=364) < left < datetime.timedelta(days=366)
    assert belong_together(pair.public, pair.private)


def test_its_folder_keeps_the_keys_from_others_and_is_made_once(authority: Authority) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in authority.folder.iterdir()}
    assert modes == {"cacert.pem": 0o644, "cakey.pem": 0o600, "clientcert.pem": 0o644, "clientkey.pem": 0o600}
    before = {path.name: path.read_bytes() for path in authority.folder.iterdir()}
    assert Authority(authority.folder, "east").pem == authority.pem
    assert {path.name: path.read_bytes() for path in authority.folder.iterdir()} == before
    assert CONTROLLER in certificate(before["clientcert.pem"].decode()).subject.rfc4514_string()


def test_two_runs_at_once_make_one_authority(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: Authority(tmp_path / "pki", "c").pem, range(2)))
    assert made[0] == made[1]


def test_it_knows_what_is_to_be_issued_anew(authority: Authority, tmp_path: Path) -> None:
    pair = authority.issue(NAMES)
    assert authority.shortcoming(authority.pem, [pair.public], NAMES) == ""
    assert authority.shortcoming(authority.pem, [pair.public, None], NAMES) == "there is none"
    assert authority.shortcoming(authority.pem, [pair.public], [*NAMES, "n2"]) == "it does not vouch for n2"
    assert authority.shortcoming(None, [pair.public], NAMES) == "the host trusts another authority"
    assert authority.shortcoming(authority.pem, ["nonsense"], NAMES) == "it cannot be read, or names nobody"
    other = Authority(tmp_path, "west").issue(NAMES)
    assert authority.shortcoming(authority.pem, [other.public], NAMES) == "another authority issued it"


def test_one_that_is_about_to_expire_is_issued_anew() -> None:
    issuer = new_issuer("a", 100, new_key(2048))
    pair = issue(issuer, "n1", ["n1"], 365, new_key(2048))
    found, now = certificate(pair.public), datetime.datetime.now(datetime.UTC)
    assert found.not_valid_after_utc == issuer.certificate.not_valid_after_utc  # never outlives its authority
    assert shortcoming(issuer.certificate, pair.public, ["n1"], now, datetime.timedelta(days=99)) == ""
    assert "expire" in shortcoming(issuer.certificate, pair.public, ["n1"], now, datetime.timedelta(days=101))


def test_an_authority_of_somebody_else_is_left_alone(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "cacert.pem").write_text(authority.pem)
    with pytest.raises(HotfootError, match="an authority of somebody else, whose key is not here"):
        Authority(tmp_path, "c")
    (tmp_path / "cakey.pem").write_text(private_pem(new_key(2048)))
    with pytest.raises(HotfootError, match="do not belong together"):
        Authority(tmp_path, "c")
    (tmp_path / "cakey.pem").write_text("nonsense")
    with pytest.raises(HotfootError, match="cannot issue certificates"):
        Authority(tmp_path, "c")


def test_one_that_was_killed_between_its_two_files_goes_on_with_the_same_key(tmp_path: Path) -> None:
    first = Authority(tmp_path, "c")
    pair = first.issue(["n1"])
    (tmp_path / "cacert.pem").unlink()
    again = Authority(tmp_path, "c")
    certificate(pair.public).verify_directly_issued_by(certificate(again.pem))
    (tmp_path / "clientkey.pem").write_text(private_pem(new_key(2048)))
    Authority(tmp_path, "c")
    assert belong_together((tmp_path / "clientcert.pem").read_text(), (tmp_path / "clientkey.pem").read_text())


def test_one_that_expires_soon_says_so(tmp_path: Path) -> None:
    key = new_key(2048)
    (tmp_path / "cacert.pem").write_text(new_issuer("a", 20, key).pem)
    (tmp_path / "cakey.pem").write_text(private_pem(key))
    with pytest.raises(HotfootError, match="expires on"):
        Authority(tmp_path, "c")


def test_it_lies_where_libvirt_looks_or_beside_the_cluster_file(tmp_path: Path) -> None:
    host = {"hosts": [{"name": "n1", "address": "10.0.0.1"}]}
    assert folder_of(cluster_from(host), tmp_path / "hotfoot.yaml") == tmp_path / "pki"
    named = cluster_from({**host, "libvirt": {"pki": "/etc/east"}})
    assert folder_of(named, tmp_path / "hotfoot.yaml") == Path("/etc/east")
