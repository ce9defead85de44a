"""Consoles: that they are reached before and after a move, and that no instance insists on an address of its host.

An address in an instance's own definition travels with it, and the destination's QEMU cannot listen there ("Failed to
bind socket: Cannot assign requested address", seen on libvirt 11.3); one that comes from qemu.conf does not travel.
Nova writes the destination's ``server_listen`` into the definition itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from hotfoot.cluster import Cluster
from hotfoot.readiness.addresses import Addresses, addresses_of, ip, is_ip, is_loopback
from hotfoot.readiness.change import Change, EditFile, Phase
from hotfoot.readiness.daemons import QEMU_CONF, daemons_of
from hotfoot.readiness.domain_xml import Domain, domains_of
from hotfoot.readiness.edit import RemoveKey
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.libvirt_conf import read
from hotfoot.readiness.libvirt_mistakes import refresh
from hotfoot.readiness.listing import listed
from hotfoot.readiness.nova_conf import FILES, UNITS, NovaConf, by_host

_WILDCARDS = ("0.0.0.0", "::")
_OLD = {
    "server_listen": (("vnc", "vncserver_listen"), ("DEFAULT", "vncserver_listen")),
    "server_proxyclient_address": (
        ("vnc", "vncserver_proxyclient_address"),
        ("DEFAULT", "vncserver_proxyclient_address"),
    ),
}


def judge(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the consoles of instances on every host that answered."""
    addresses = addresses_of(cluster, facts)
    confs = by_host(facts.hosts)
    for host in facts.hosts:
        yield from _qemu_conf(host, addresses[host.host])
        yield from _pinned(host)
        if host.host in confs:
            yield from _nova(confs[host.host], addresses[host.host])


def pinned(host: HostFacts, domain: Domain) -> tuple[str, ...]:
    """Return the addresses of its host on which an instance insists to listen wherever it goes."""
    if domain.of_nova:
        return ()
    settings = read(host.text(QEMU_CONF))
    by_host_file = {settings.text(f"{kind}_listen") for kind in ("vnc", "spice")}
    own = set(host.names.addresses) if host.names else None
    found = [address for screen in domain.screens for address in screen.pinned if address not in by_host_file]
    return tuple(dict.fromkeys(each for each in found if own is None or ip(each) in {ip(address) for address in own}))


def _pinned(host: HostFacts) -> Iterator[Finding]:
    stuck: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for domain in domains_of(host):
        if found := pinned(host, domain):
            stuck[found].append(domain.name)
    for found, names in stuck.items():
        yield Finding(
            code="consoles.pinned",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{listed(names)} on {host.host} can run on no other host: the console insists on an address of it.",
            evidence=f"<graphics listen='{listed(found)}'> in the definition of {listed(names)}",
            why='The destination\'s QEMU ends with "Failed to bind socket: Cannot assign requested address", and the'
            " instance stays where it is.",
            remedy="Take the address out of the definition (`virsh edit`; the host's own qemu.conf then says where to"
            " listen); it counts from the instance's next start.",
        )


def _qemu_conf(host: HostFacts, addresses: Addresses) -> Iterator[Finding]:
    settings = read(host.text(QEMU_CONF))
    for kind in ("vnc", "spice"):
        key = f"{kind}_listen"
        value = settings.text(key)
        if not value or not is_ip(value):
            continue
        change = (
            Change(host=host.host, phase=Phase.LIBVIRT, step=EditFile(path=QEMU_CONF, edits=(RemoveKey(key=key),))),
            *refresh(host, daemons_of(host).service),
        )
        seen = f"{QEMU_CONF}, line {settings.lines[key]}: {settings.shown(key)}"
        if value in _WILDCARDS:
            if settings.values.get(f"{kind}_password") or settings.number(f"{kind}_tls"):
                continue
            yield Finding(
                code="consoles.open-to-all",
                severity=Severity.ADVICE,
                host=host.host,
                what=f"The {kind.upper()} consoles of instances on {host.host} listen on all its networks.",
                evidence=seen,
                why="There is no password on them: whoever reaches the ports 5900 and up sits at the guest's keyboard,"
                " unless a firewall keeps them out.",
                remedy=f"Take {key} out of {QEMU_CONF} (consoles then listen on the host itself only), or see that the"
                " firewall lets nobody but the console proxy in.",
            )
        elif not is_loopback(value) and host.names and host.names.addresses and ip(value) not in addresses.own:
            yield Finding(
                code="consoles.foreign-address",
                severity=Severity.BLOCKS,
                host=host.host,
                what=f"Consoles on {host.host} are to listen on {value}, which is not an address of it.",
                evidence=f"{seen}; its addresses: {listed(sorted(addresses.own))}",
                why="QEMU cannot listen there: no instance that leaves it to the host starts or arrives.",
                remedy=f"Take {key} out of {QEMU_CONF}.",
                changes=change,
            )


def _nova(conf: NovaConf, addresses: Addresses) -> Iterator[Finding]:
    for section, on in (("vnc", True), ("spice", False)):
        # Nova switches VNC on unless told otherwise, SPICE not.
        old = conf.get("DEFAULT", "vnc_enabled") if section == "vnc" else None
        default = on if old is None else old.value.lower() in ("true", "1", "yes", "on")
        if conf.switch(section, "enabled", default=default):
            yield from _listens(conf, addresses, section)
            yield from _called(conf, addresses, section)


def _listens(conf: NovaConf, addresses: Addresses, section: str) -> Iterator[Finding]:
    name, key = conf.host.host, "server_listen"
    value, seen = _value(conf, section, key)
    own = addresses.management
    mend = _set(conf, section, key, own)
    if value in ("localhost",) or is_loopback(value):
        yield Finding(
            code="consoles.loopback",
            severity=Severity.ADVICE,
            host=name,
            what=f"The {section.upper()} consoles of instances on {name} are reached from {name} itself only.",
            evidence=seen,
            why="Nova's console proxy runs on the controller, and cannot connect to them.",
            remedy=f"Set [{section}] {key} = {own or 'the address of the host'}: Nova gives the instance the"
            " destination's at each move. (0.0.0.0 works, too, and opens consoles on all networks.)",
            changes=mend,
        )
    elif _foreign(conf, addresses, value):
        yield Finding(
            code="consoles.foreign-address",
            severity=Severity.BLOCKS,
            host=name,
            what=f"Consoles on {name} are to listen on {value}, which is not an address of it.",
            evidence=f"{seen}; its addresses: {listed(sorted(addresses.own))}",
            why="Nova writes it into each instance that starts or arrives there, and QEMU cannot listen on it: the"
            " instance fails. A file copied from another host looks so.",
            remedy=f"Set [{section}] {key} = {own or 'the address of the host'}.",
            changes=mend,
        )


def _called(conf: NovaConf, addresses: Addresses, section: str) -> Iterator[Finding]:
    name, key = conf.host.host, "server_proxyclient_address"
    value, seen = _value(conf, section, key)
    own = addresses.management
    loopback = value == "localhost" or is_loopback(value)
    if not loopback and not _foreign(conf, addresses, value):
        return
    yield Finding(
        code="consoles.called-elsewhere",
        severity=Severity.ADVICE if loopback else Severity.DANGEROUS,
        host=name,
        what=f"Nova's console proxy looks for the {section.upper()} consoles of {name} at {value}, which is"
        f" {'the proxy itself' if loopback else 'another host'}.",
        evidence=seen,
        why="The console of an instance that has moved there shows nothing"
        + ("." if loopback else ", or the screen of another instance."),
        remedy=f"Set [{section}] {key} = {own or 'the address of the host'}.",
        changes=_set(conf, section, key, own),
    )


def _value(conf: NovaConf, section: str, key: str) -> tuple[str, str]:
    old = _OLD[key] if section == "vnc" else ()
    option = conf.get(section, key, *old)
    value = conf.text(section, key, *old) or "127.0.0.1"
    return value, str(option) if option else f"[{section}] {key} is not set: Nova takes 127.0.0.1"


def _set(conf: NovaConf, section: str, key: str, value: str | None) -> tuple[Change, ...]:
    return (*conf.set_to(section, key, value), *conf.refresh()) if value else ()


def _foreign(conf: NovaConf, addresses: Addresses, value: str) -> bool:
    known = conf.host.names is not None and bool(conf.host.names.addresses)
    return (
        known and is_ip(value) and value not in _WILDCARDS and not is_loopback(value) and ip(value) not in addresses.own
    )


TOPIC = Topic(
    name="consoles",
    title="consoles after a move",
    judge=judge,
    files=(*FILES, QEMU_CONF),
    units=UNITS,
    sections=("libvirt", "names"),
)
