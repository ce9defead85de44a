"""Certificates for libvirt's TLS and for QEMU's own: there, whole, in time, for the right names, and kept closely.

Source: libvirt.org, "TLS transport" and "Secure migration"; the QEMU documentation, "TLS setup for network services".
The time is the host's own, as it told: its libvirt compares with that clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from hotfoot.cluster import Cluster
from hotfoot.readiness.addresses import Addresses, addresses_of
from hotfoot.readiness.certificate import Parsed, parse, signed_by
from hotfoot.readiness.change import Change, MakeCertificate, Phase, SetMode
from hotfoot.readiness.daemons import daemons_of
from hotfoot.readiness.facts import Facts, HostFacts, PathFact
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.libvirt_mistakes import refresh
from hotfoot.readiness.listing import listed
from hotfoot.readiness.qemu_account import QemuAccount, qemu_account

RENEW_BEFORE_S = 30 * 86400
"""Certificates are renewed when they are good for less than this."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one of the two keeps its certificates."""

    name: str
    authority: str
    pairs: Mapping[str, tuple[str, str]]
    """Certificate and private key by role: ``server``, ``client``."""


LIBVIRT = Place(
    "libvirt",
    "/etc/pki/CA/cacert.pem",
    {
        role: (f"/etc/pki/libvirt/{role}cert.pem", f"/etc/pki/libvirt/private/{role}key.pem")
        for role in ("server", "client")
    },
)
QEMU = Place(
    "qemu",
    "/etc/pki/qemu/ca-cert.pem",
    {role: (f"/etc/pki/qemu/{role}-cert.pem", f"/etc/pki/qemu/{role}-key.pem") for role in ("server", "client")},
)
_USER_OF = {"libvirt": "libvirt", "qemu": "QEMU"}
_NEEDED_BY = {
    "libvirt": "The libvirts of source and destination show each other certificates when they connect over TLS.",
    "qemu": "QEMU encrypts the memory of a moving instance with them; without, `--native-tls` fails.",
}


def places(cluster: Cluster) -> tuple[Place, ...]:
    """Return which certificates a cluster needs."""
    found = (LIBVIRT,) if cluster.libvirt.transport == "tls" else ()
    return (*found, QEMU) if cluster.migration.native_tls else found


def judge(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the certificates of every host that answered."""
    addresses = addresses_of(cluster, facts)
    declared = {host.name: host.address for host in cluster.hosts}
    for place in places(cluster):
        judges = [
            _Judge(
                host, place, addresses[host.host], declared[host.host], qemu_account(host) if place is QEMU else None
            )
            for host in facts.hosts
            if host.pki is not None
        ]
        trusted = _authorities(facts, place)
        votes = Counter(trusted.values())
        most = min(votes, key=lambda each: (-votes[each], sorted(each))) if votes else frozenset()
        majority = [name for name, each in trusted.items() if each == most]
        # All of them: the authority that signs new ones may be none of those in use.
        everywhere = tuple(change for each in judges for change in each.issue) if len(votes) > 1 else ()
        for each in judges:
            if trusted.get(each.name, most) != most:
                yield each.other_authority(majority, everywhere)
            yield from each.all()


def _authorities(facts: Facts, place: Place) -> dict[str, frozenset[str]]:
    found = {}
    for host in facts.hosts:
        file = host.pki.certificate(place.authority) if host.pki else None
        if file and (parsed := parse(file.pem)):
            found[host.host] = parsed.fingerprints
    return found


@dataclass(frozen=True)
class _Judge:
    host: HostFacts
    place: Place
    addresses: Addresses
    declared: str
    """Its address in the cluster file."""
    account: QemuAccount | None
    """QEMU's, where its certificates are judged and it is known."""

    @property
    def name(self) -> str:
        return self.host.host

    def all(self) -> Iterator[Finding]:
        missing = [path for path in self._files() if self._is_missing(path)]
        if missing:
            yield self._missing(missing)
            if len(missing) == len(self._files()):
                return
        authority = self._pem(self.place.authority)
        readable = []
        for path in (self.place.authority, *(certificate for certificate, _ in self.place.pairs.values())):
            pem = self._pem(path)
            if pem is not None and (parsed := parse(pem)) is None:
                yield self._not_a_certificate(path)
            elif pem is not None and parsed is not None:
                readable.append((path, parsed))
        yield from self._in_time(readable)
        for role, (certificate, key) in self.place.pairs.items():
            pem = self._pem(certificate)
            if pem is not None and (parsed := parse(pem)) is not None:
                yield from self._certificate(role, certificate, pem, parsed, authority)
                yield from self._key_matches(certificate, key, parsed)
            if found := self._key(key):
                yield from self._key_closed(found)

    def _files(self) -> list[str]:
        return [self.place.authority, *(path for pair in self.place.pairs.values() for path in pair)]

    def _is_missing(self, path: str) -> bool:
        return self._pem(path) is None and self._key(path) is None

    @cached_property
    def _pems(self) -> Mapping[str, str]:
        return {each.path: each.pem for each in self.host.pki.certificates if each.exists} if self.host.pki else {}

    @cached_property
    def _keys(self) -> Mapping[str, PathFact]:
        return {each.path: each for each in self.host.pki.keys if each.exists} if self.host.pki else {}

    def _pem(self, path: str) -> str | None:
        return self._pems.get(path)

    def _key(self, path: str) -> PathFact | None:
        return self._keys.get(path)

    def _certificate(self, role: str, path: str, pem: str, parsed: Parsed, authority: str | None) -> Iterator[Finding]:
        if authority and parse(authority) and not signed_by(pem, authority):
            yield self._finding(
                "not-signed",
                Severity.BLOCKS,
                what=f"{path} on {self.name} is not signed by the authority in {self.place.authority}.",
                evidence=f"issuer {parsed.issuer}; authority {(parse(authority) or parsed).subject}",
                why=f"The other side trusts only what its authority signed, so {self._user} refuses the connection.",
            )
        allowed = parsed.serves if role == "server" else parsed.connects
        if not allowed:
            yield self._finding(
                "wrong-use",
                Severity.BLOCKS,
                what=f"{path} on {self.name} may not be used by a {role}.",
                evidence=f"the extended key usage of {path} does not name the {role} role",
                why="GnuTLS, which libvirt and QEMU use, refuses a certificate that is used for what it was not"
                " made for.",
            )
        if role == "server":
            yield from self._names(path, parsed)
        if not parsed.is_rsa:
            yield self._finding(
                "not-rsa",
                Severity.ADVICE,
                what=f"{path} on {self.name} has no RSA key.",
                evidence=f"{path}: the public key is of another kind",
                why='libvirt 9.0 and older refuses such certificates ("usage does not permit key encipherment").',
            )

    def _names(self, path: str, parsed: Parsed) -> Iterator[Finding]:
        wanted = [self.name, self.declared, *self.addresses.declared]
        if self.host.names is not None and self.host.names.hostname:
            # libvirt tells the source to go to the destination's own host name unless it is told an address.
            wanted.append(self.host.names.hostname)
        missing = [name for name in dict.fromkeys(wanted) if not parsed.vouches_for(name)]
        if missing:
            yield self._finding(
                "wrong-names",
                Severity.BLOCKS,
                what=f"{path} on {self.name} does not vouch for {listed(missing)}.",
                evidence=f"it names {listed(sorted(parsed.names)) or 'nothing'}",
                why=f"The other side calls {self.name} by these, and refuses a certificate that does not name what it"
                " called.",
            )

    def _in_time(self, files: Sequence[tuple[str, Parsed]]) -> Iterator[Finding]:
        if self.host.clock is None:
            return
        now = self.host.clock.now_s
        early = [(path, each) for path, each in files if now < each.valid_from_s]
        late = [(path, each) for path, each in files if now >= each.valid_until_s]
        soon = [(path, each) for path, each in files if each.valid_until_s - RENEW_BEFORE_S <= now < each.valid_until_s]
        if early:
            yield self._finding(
                "not-yet-valid",
                Severity.BLOCKS,
                what=f"By the clock of {self.name} {_paths(early)} {_are(early)} not valid yet.",
                evidence=f"valid from {_day(max(each.valid_from_s for _, each in early))}; its clock says {_day(now)}",
                why=f"{self._user} refuses a certificate before its time; nearly always the clock is wrong, not it.",
                remedy=f"Set the clock of {self.name} right (topic clocks), then look again.",
                mend=False,
            )
        if late:
            yield self._finding(
                "expired",
                Severity.BLOCKS,
                what=f"{_paths(late)} on {self.name} {'has' if len(late) == 1 else 'have'} expired.",
                evidence=f"valid until {_day(min(each.valid_until_s for _, each in late))}; the clock of"
                f" {self.name} says"
                f" {_day(now)}",
                why=f"{self._user} refuses it: no connection comes about.",
            )
        if soon:
            first = min(each.valid_until_s for _, each in soon)
            yield self._finding(
                "expires-soon",
                Severity.ADVICE,
                what=f"{_paths(soon)} on {self.name} {_are(soon)} valid for less than 30 days.",
                evidence=f"valid until {_day(first)}: {int((first - now) // 86400)} days left",
                why=f"After that {self._user} refuses what has expired, and no instance moves.",
            )

    def _key_matches(self, certificate: str, key: str, parsed: Parsed) -> Iterator[Finding]:
        found = self._key(key)
        if found and found.public_key_sha256 and found.public_key_sha256 != parsed.public_key_sha256:
            yield self._finding(
                "key-mismatch",
                Severity.BLOCKS,
                what=f"{key} on {self.name} is not the key of {certificate}.",
                evidence=f"public key of the key {found.public_key_sha256[:16]}..., of the certificate"
                f" {parsed.public_key_sha256[:16]}...",
                why=f"{self._user} cannot prove that the certificate is its own, and does not start TLS.",
            )

    def _key_closed(self, key: PathFact) -> Iterator[Finding]:
        keepers = {0, self.account.uid} if self.account else {0}
        if key.mode & 0o007:
            yield self._key_finding(
                key,
                "key-open",
                Severity.DANGEROUS,
                what=f"Every user of {self.name} can read the private key {key.path}.",
                why=f"Whoever has it can pass for {self.name}, and read or take over migrations.",
            )
        elif self.account and not self.account.may_read(key):
            yield self._key_finding(
                key,
                "key-unreadable",
                Severity.BLOCKS,
                what=f"QEMU on {self.name} cannot read its private key {key.path}.",
                why="QEMU opens it itself when a migration begins, without root's rights"
                f" (as {self.account.user}, with the groups {listed(self.account.group_names)}).",
            )
        elif key.uid not in keepers and (self.place is LIBVIRT or self.account):
            yield self._key_finding(
                key,
                "key-of-another",
                Severity.DANGEROUS,
                what=f"The private key {key.path} on {self.name} belongs to another user than root.",
                why=f"Whoever has it can pass for {self.name}, and read or take over migrations.",
            )
        elif self.place is LIBVIRT and key.mode & 0o070:
            yield self._key_finding(
                key,
                "key-open-to-group",
                Severity.ADVICE,
                what=f"The group of {key.path} on {self.name} can read this private key.",
                why="Only libvirt, which is root, needs it.",
            )

    def _key_finding(self, key: PathFact, code: str, severity: Severity, *, what: str, why: str) -> Finding:
        mode, owner = self._key_wanted()
        return self._finding(
            code,
            severity,
            what=what,
            evidence=f"{key.path}: mode {key.mode & 0o7777:04o}, owner {self.host.owner_of(key.uid, key.gid)}",
            why=why,
            remedy=f"`chmod {mode:04o} {key.path} && chown {owner} {key.path}` on {self.name}"
            + ("; who had it may have a copy: issue a new one, too." if severity is Severity.DANGEROUS else "."),
            changes=(Change(host=self.name, phase=Phase.TRUST, step=SetMode(path=key.path, mode=mode, owner=owner)),),
        )

    def _missing(self, missing: list[str]) -> Finding:
        none = len(missing) == len(self._files())
        return self._finding(
            "missing",
            Severity.BLOCKS,
            what=f"{self.name} has no certificates for {self._user}'s TLS."
            if none
            else f"{self.name} lacks {listed(missing)}.",
            evidence=f"not there: {listed(missing)}",
            why=_NEEDED_BY[self.place.name],
        )

    def _not_a_certificate(self, path: str) -> Finding:
        return self._finding(
            "unreadable",
            Severity.BLOCKS,
            what=f"{path} on {self.name} is no certificate.",
            evidence=f"{path} holds no certificate in PEM form",
            why=f"{self._user} cannot read it: TLS fails there.",
        )

    def other_authority(self, majority: Sequence[str], changes: tuple[Change, ...]) -> Finding:
        return self._finding(
            "other-authority",
            Severity.BLOCKS,
            what=f"{self.name} trusts another authority than {listed(majority)}.",
            evidence=f"{self.place.authority} on {self.name} differs from that of {listed(majority)}",
            why="Each side refuses what the other's authority signed: these hosts cannot connect to each other.",
            changes=changes,
        )

    def _finding(
        self,
        code: str,
        severity: Severity,
        *,
        what: str,
        evidence: str,
        why: str,
        remedy: str = "",
        mend: bool = True,
        changes: tuple[Change, ...] = (),
    ) -> Finding:
        return Finding(
            code=f"certificates.{code}",
            severity=severity,
            host=self.name,
            what=what,
            evidence=evidence,
            why=why,
            remedy=remedy or "Have new ones issued by the cluster's authority: `hotfoot prepare --topic certificates`.",
            changes=changes or (self.issue if mend else ()),
        )

    @cached_property
    def issue(self) -> tuple[Change, ...]:
        own = self.host.names.hostname if self.host.names else ""
        names = tuple(dict.fromkeys(each for each in (self.name, own, self.declared, *self.addresses.declared) if each))
        mode, owner = self._key_wanted()
        step = MakeCertificate(
            place="libvirt" if self.place is LIBVIRT else "qemu", names=names, key_owner=owner, key_mode=mode
        )
        change = Change(host=self.name, phase=Phase.TRUST, step=step)
        # QEMU reads its own at every migration; libvirt reads its own when it starts.
        if self.place is QEMU:
            return (change,)
        return change, *refresh(self.host, daemons_of(self.host).proxy_service)

    def _key_wanted(self) -> tuple[int, str]:
        return (0o640, f"root:{self.account.key_group}") if self.account else (0o600, "root:root")

    @property
    def _user(self) -> str:
        return _USER_OF[self.place.name]


def _paths(files: Sequence[tuple[str, Parsed]]) -> str:
    return listed(path for path, _ in files)


def _are(files: Sequence[tuple[str, Parsed]]) -> str:
    return "is" if len(files) == 1 else "are"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


TOPIC = Topic(
    name="certificates",
    title="certificates of libvirt and QEMU",
    judge=judge,
    files=("/etc/libvirt/qemu.conf",),
    sections=("clock", "names", "pki"),
)
