"""``make bench-judge``: judging the recorded facts of many hosts, with what they proved two by two.

The facts are copies of a recording (tests/readiness/recorded) under other names and addresses; nearly all hosts are
as they should be, one in a hundred is not. Prints the times, keeps them in benchmarks/results/judge-hosts.json, and
ends with 0 when the goal is met, 1 when it is missed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

# Run as a file, so that Python looks beside it; the benchmark's modules are `benchmarks.*`.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.figures import spread
from benchmarks.keeping import keep
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hotfoot.cluster import Cluster
from hotfoot.cluster.validation import cluster_from
from hotfoot.reach.proof.pairs import connection_pairs, token_pairs
from hotfoot.readiness.facts import Facts, HostFacts, PairProof, Proofs, SharedProof
from hotfoot.readiness.judge import judge
from hotfoot.readiness.plan import plan

MOST_S = 5.0
_RECORDING = Path(__file__).resolve().parent.parent / "tests/readiness/recorded/lab-debian-13-tls-glusterfs.json"
_RESULT = "judge-hosts"
_PATH = "/var/lib/nova/instances"
_SEEN = SharedProof(
    path=_PATH,
    writer="",
    reader="",
    same=True,
    lock_refused=True,
    direct=True,
    writer_uid=0,
    writer_gid=0,
    reader_uid=0,
    reader_gid=0,
)
_PORTS = {22: "open", 16514: "open", 49152: "open", 49215: "open"}


def _address(number: int) -> str:
    return f"10.9.{number // 250}.{number % 250 + 1}"


class _Authority:
    """Gives each host a certificate of its own; all of one key, since making a thousand takes minutes."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self._issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Benchmark authority")])
        public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.digest = hashlib.sha256(public).hexdigest()
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.pem = self._signed(self._issuer, [(x509.BasicConstraints(ca=True, path_length=None), True), (usage, True)])

    def certificate(self, name: str, address: str) -> str:
        """Return a host's certificate in PEM."""
        names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address(address))])
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        usage = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._signed(subject, [(names, False), (purposes, False), (usage, True)])

    def _signed(self, subject: x509.Name, extensions: list[tuple[x509.ExtensionType, bool]]) -> str:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._issuer)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=364))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def many_hosts(count: int) -> tuple[Cluster, Facts]:
    """Return a cluster of so many hosts, and its facts."""
    recorded = Facts.model_validate_json(_RECORDING.read_bytes()).hosts
    names = [f"h{number:04}" for number in range(count)]
    resolved = {name: [_address(number)] for number, name in enumerate(names)}
    etc_hosts = "127.0.0.1 localhost\n" + "".join(f"{addresses[0]} {name}\n" for name, addresses in resolved.items())
    authority = _Authority()
    now_s = time.time()
    hosts = []
    for number, name in enumerate(names):
        told = recorded[number % len(recorded)].model_dump(mode="json")
        told["host"] = name
        told["names"] |= {"hostname": name, "fqdn": name, "resolved": resolved, "addresses": [_address(number)]}
        told["libvirt"] |= {"running": [], "domains": {}, "host_uuid": f"{number:08x}-33da-42ec-9a8c-9293d545c337"}
        told["clock"] |= {"now_s": now_s, "offset_s": 0.0, "uncertainty_s": 0.1, "synchronised": True}
        pem = authority.certificate(name, _address(number))
        for certificate in told["pki"]["certificates"]:
            certificate["pem"] = authority.pem if Path(certificate["path"]).name.startswith("ca") else pem
        for key in told["pki"]["keys"]:
            key["public_key_sha256"] = authority.digest
        host_key = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + hashlib.sha256(name.encode()).digest()).decode()
        told["ssh"]["host_keys"] = [f"ssh-ed25519 {host_key}"]
        told["os"]["machine_id"] = f"{number:032x}"
        told["files"]["/etc/hosts"] |= {"content": etc_hosts}
        if number % 100 == 99:
            told["files"]["/etc/hosts"] |= {"content": etc_hosts.replace("localhost", f"localhost {name}")}
            told["units"] = {}
        hosts.append(HostFacts.model_validate(told))
    proofs = Proofs(
        pairs=tuple(
            PairProof(source=source, destination=destination, ssh="", libvirt="", ports=_PORTS)
            for source, destination in connection_pairs(names)
        ),
        shared=tuple(
            _SEEN.model_copy(update={"writer": writer, "reader": reader}) for reader, writer in token_pairs(names)
        ),
    )
    cluster = cluster_from(
        {
            "hosts": [{"name": name, "address": _address(number)} for number, name in enumerate(names)],
            "storage": [{"path": _PATH, "type": "glusterfs", "source": "localhost:/instances"}],
        }
    )
    return cluster, Facts(hosts=tuple(hosts), proofs=proofs)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description="Judging the facts of many hosts.")
    parser.add_argument("--hosts", type=int, default=1000, help="how many [default: 1000]")
    parser.add_argument("--rounds", type=int, default=5, help="how often [default: 5]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    options = parser.parse_args()
    cluster, facts = many_hosts(options.hosts)
    judged_s, judged_cpu_s, planned_s = [], [], []
    for _ in range(options.rounds):
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        findings = judge(cluster, facts)
        judged_s.append(time.perf_counter() - began_s)
        judged_cpu_s.append(time.process_time() - began_cpu_s)
        began_s = time.perf_counter()
        planned = plan(findings, facts)
        planned_s.append(time.perf_counter() - began_s)
    assert facts.proofs is not None
    found = {
        "hosts": options.hosts,
        "pairs": len(facts.proofs.pairs),
        "shared_proofs": len(facts.proofs.shared),
        "findings": len(findings),
        "changes": len(planned.changes),
        "codes": dict(Counter(finding.code for finding in findings).most_common(10)),
        "judged_s": judged_s,
        "judged_cpu_s": judged_cpu_s,
        "planned_s": planned_s,
        "goal_s": MOST_S,
    }
    text = keep(_RESULT, found)
    judged, used, made = spread(judged_s), spread(judged_cpu_s), spread(planned_s)
    met = judged.median <= MOST_S
    if options.json:
        print(text)
    else:
        print(
            f"{options.hosts} hosts, {found['pairs']} pairs, {found['shared_proofs']} proofs of storage; "
            f"{len(findings)} findings, {len(planned.changes)} changes; least / median / most of {options.rounds}\n"
            f"judged in {judged.least:.2f} / {judged.median:.2f} / {judged.most:.2f} s\n"
            f"of that {used.least:.2f} / {used.median:.2f} / {used.most:.2f} s of processor time\n"
            f"planned in {made.least:.2f} / {made.median:.2f} / {made.most:.2f} s\n"
            f"{'pass' if met else 'MISS'}  judging (median, s)  {judged.median:.3g}  goal {MOST_S:g}"
        )
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
