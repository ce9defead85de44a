"""What of an instance's definition decides where it can go. Pure: libvirt's domain XML in, values out.

Format: libvirt.org/formatdomain.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError, tostring

from defusedxml.ElementTree import fromstring

from hotfoot.readiness.facts import HostFacts

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_WILDCARDS = frozenset({"0.0.0.0", "::", "*"})
_DEVICES_THAT_STAY = frozenset({"pci", "usb", "mdev"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainCpu:
    """The ``<cpu>`` of an instance."""

    mode: str = ""
    """``custom``, ``host-model``, ``host-passthrough``, ``maximum``; empty where nothing is said."""
    model: str = ""
    required: frozenset[str] = frozenset()
    disabled: frozenset[str] = frozenset()
    xml: str = field(default="", compare=False)
    """The element itself."""

    @property
    def whole_host(self) -> bool:
        """Whether the guest has the host's CPU as it is."""
        return self.mode in ("host-passthrough", "maximum")


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A ``<graphics>``: its kind and where it listens."""

    kind: str
    addresses: tuple[str, ...] = ()

    @property
    def pinned(self) -> tuple[str, ...]:
        """Addresses of a host, wildcards and loopback left out."""
        return tuple(
            each for each in self.addresses if each not in _WILDCARDS and not each.startswith("127.") and each != "::1"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainDisk:
    """A disk, CD or floppy with something in it."""

    target: str
    kind: str
    """``file``, ``block``, ``network``, ``volume``, ``dir`` ..."""
    source: str
    protocol: str = ""
    device: str = "disk"
    read_only: bool = False
    secret: str = ""
    """UUID or usage of the libvirt secret that it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """An instance's definition."""

    name: str
    uuid: str
    of_nova: bool = False
    arch: str = ""
    machine: str = ""
    emulator: str = ""
    cpu: DomainCpu = DomainCpu()
    boot_files: tuple[str, ...] = ()
    """Firmware, kernel, initrd: what QEMU reads on any host."""
    screens: tuple[Screen, ...] = ()
    disks: tuple[DomainDisk, ...] = ()
    bridges: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    staying: tuple[str, ...] = ()
    """What ties it to its host, in words."""
    tpm: bool = False


def domains_of(host: HostFacts) -> Iterator[Domain]:
    """Yield the instances that run on a host, as far as their definitions can be read."""
    if host.libvirt is None:
        return
    running = set(host.libvirt.running)
    for name, xml in host.libvirt.domains.items():
        if name in running and (domain := read_domain(xml)) is not None:
            yield domain


@lru_cache(maxsize=16384)
def read_domain(xml: str) -> Domain | None:
    """Read a definition; None where it is not XML."""
    try:
        root = fromstring(xml)
    except (ParseError, ValueError):  # not XML, or with entities of its own
        return None
    os_type = root.find("os/type")
    interfaces = list(root.iterfind("devices/interface"))
    return Domain(
        name=(root.findtext("name") or "").strip(),
        uuid=(root.findtext("uuid") or "").strip().lower(),
        of_nova=any("openstack.org" in element.tag for element in root.iterfind("metadata/*")),
        arch=os_type.get("arch", "") if os_type is not None else "",
        machine=os_type.get("machine", "") if os_type is not None else "",
        emulator=(root.findtext("devices/emulator") or "").strip(),
        cpu=_cpu(root.find("cpu")),
        boot_files=tuple(
            path.strip() for tag in ("loader", "kernel", "initrd", "dtb") if (path := root.findtext(f"os/{tag}"))
        ),
        screens=tuple(_screen(element) for element in root.iterfind("devices/graphics")),
        disks=tuple(disk for element in root.iterfind("devices/disk") if (disk := _disk(element)) is not None),
        bridges=tuple(_sources(interfaces, "bridge")),
        networks=tuple(_sources(interfaces, "network")),
        staying=tuple(_staying(root, interfaces)),
        tpm=root.find("devices/tpm/backend[@type='passthrough']") is not None,
    )


def read_cpu(xml: str) -> DomainCpu:
    """Read a ``<cpu>`` alone; empty text, or what is not XML, says nothing."""
    try:
        return _cpu(fromstring(xml) if xml.strip() else None)
    except (ParseError, ValueError):
        return DomainCpu()


def _cpu(element: Element | None) -> DomainCpu:
    if element is None:
        return DomainCpu()
    features = [(feature.get("name", ""), feature.get("policy", "require")) for feature in element.iterfind("feature")]
    return DomainCpu(
        mode=element.get("mode", "custom" if element.find("model") is not None else ""),
        model=(element.findtext("model") or "").strip(),
        required=frozenset(name for name, policy in features if policy in ("require", "force")),
        disabled=frozenset(name for name, policy in features if policy in ("disable", "forbid")),
        xml=tostring(element, encoding="unicode").strip(),
    )


def _screen(element: Element) -> Screen:
    listens = [each.get("address", "") for each in element.iterfind("listen") if each.get("type") == "address"]
    addresses = [*listens, *([element.get("listen", "")] if element.get("listen") else [])]
    return Screen(kind=element.get("type", ""), addresses=tuple(dict.fromkeys(each for each in addresses if each)))


def _disk(element: Element) -> DomainDisk | None:
    source, target = element.find("source"), element.find("target")
    kind, device = element.get("type", "file"), element.get("device", "disk")
    if source is None:
        return None
    if kind == "volume":
        place = f"{source.get('pool')}/{source.get('volume')}"
    else:
        place = source.get({"block": "dev", "dir": "dir", "network": "name"}.get(kind, "file")) or ""
    if not place:
        return None
    secret = element.find("source/auth/secret")
    if secret is None:
        secret = element.find("auth/secret")
    return DomainDisk(
        target=target.get("dev", "") if target is not None else "",
        kind=kind,
        source=place,
        protocol=source.get("protocol", ""),
        device=device,
        read_only=element.find("readonly") is not None or device == "cdrom",
        secret=(secret.get("uuid") or secret.get("usage") or "") if secret is not None else "",
    )


def _sources(interfaces: list[Element], kind: str) -> Iterator[str]:
    """Yield the networks, or the bridges, that cards name; one that names a network is of it, whatever it became.

    A card of a network that stands for a bridge reads ``type='bridge'`` while it runs, with both names; at the
    destination libvirt asks for the network, and takes the bridge from there.
    """
    for element in interfaces:
        source = element.find("source")
        if source is None or (kind == "bridge" and (element.get("type") != "bridge" or source.get("network"))):
            continue
        if name := source.get(kind):
            yield name


def _staying(root: Element, interfaces: list[Element]) -> Iterator[str]:
    for element in root.iterfind("devices/hostdev"):
        if element.get("type") in _DEVICES_THAT_STAY and element.find("teaming") is None:
            address = element.find("source/address")
            where = "" if address is None else " " + " ".join(address.attrib.values())
            yield f"the {element.get('type')} device{where} of its host"
    for element in interfaces:
        if element.get("type") == "hostdev" and element.find("teaming") is None:
            mac = element.find("mac")
            yield f"the passed-through network card {mac.get('address') if mac is not None else ''}".rstrip()
    for element in root.iterfind("devices/filesystem"):
        source, driver = element.find("source"), element.find("driver")
        folder = source.get("dir", "") if source is not None else ""
        how = driver.get("type", "9p") if driver is not None else "9p"
        yield f"the shared folder {folder} of its host ({'virtiofs' if how == 'virtiofs' else '9p'})".replace("  ", " ")
    for element in root.iterfind("devices/shmem"):
        model = element.find("model")
        if model is None or model.get("type", "ivshmem") != "ivshmem-plain" or element.get("role") != "master":
            yield f"the memory {element.get('name', '')} shared with other programs of its host (shmem)"
    for element in root.iterfind("devices/disk"):
        if element.get("device") == "lun" and element.get("type") == "block":
            source = element.find("source")
            yield f"the passed-through disk {source.get('dev', '') if source is not None else ''} of its host".replace(
                "  ", " "
            )
    if root.find("devices/tpm/backend[@type='passthrough']") is not None:
        yield "the TPM of its host"
