"""What a libvirt domain's XML says. Pure: text in, values out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.etree.ElementTree import tostring

from defusedxml.ElementTree import fromstring

from hotfoot.inventory import Disk, Instance, InstanceState, Interface

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

UNITS = {
    "b": 1, "bytes": 1, "KB": 10**3, "k": 2**10, "KiB": 2**10, "MB": 10**6, "M": 2**20, "MiB": 2**20,
    "GB": 10**9, "G": 2**30, "GiB": 2**30, "TB": 10**12, "T": 2**40, "TiB": 2**40,
}  # fmt: skip
BINDING_HOSTDEVS = frozenset({"pci", "usb", "mdev"})
"""Passed-through devices that tie a guest to its host; scsi ones are disks, which others may reach."""
WHOLE_CPU_OF_HOST = frozenset({"host-passthrough", "maximum"})
"""CPU modes without a list of features: whether they fit elsewhere is not to be read from the XML."""


def instance_of(xml: str, host: str, state: InstanceState, *, persistent: bool) -> Instance:
    """Read an instance from its domain XML (format: libvirt.org/formatdomain.html)."""
    root = fromstring(xml)
    os_type = root.find("os/type")
    interfaces = tuple(_interface(element) for element in root.iterfind("devices/interface"))
    return Instance(
        uuid=(root.findtext("uuid") or "").strip().lower(),
        name=(root.findtext("name") or "").strip(),
        host=host,
        state=state,
        persistent=persistent,
        vcpus=_vcpus(root),
        memory_bytes=_memory_bytes(root),
        disks=tuple(_disk(element) for element in root.iterfind("devices/disk")),
        interfaces=interfaces,
        host_devices=tuple(_host_devices(root)),
        boot_files=tuple(
            path.strip() for tag in ("kernel", "initrd", "dtb", "loader") if (path := root.findtext(f"os/{tag}"))
        ),
        addresses=tuple(_declared_addresses(root)),
        emulator=(root.findtext("devices/emulator") or "").strip(),
        arch=os_type.get("arch", "") if os_type is not None else "",
        machine=os_type.get("machine", "") if os_type is not None else "",
        virt_type=root.get("type", ""),
    )


def cpu_to_compare(xml: str) -> str | None:
    """Return the ``<cpu>`` of a running instance that a hypervisor can be compared with, if any."""
    cpu = fromstring(xml).find("cpu")
    if cpu is None or cpu.get("mode") in WHOLE_CPU_OF_HOST or cpu.find("model") is None:
        return None
    return str(tostring(cpu, encoding="unicode"))


def _vcpus(root: Element) -> int:
    vcpu = root.find("vcpu")
    if vcpu is None:
        return 1
    return int(vcpu.get("current") or vcpu.text or 1)


def _memory_bytes(root: Element) -> int:
    memory = root.find("memory")
    if memory is None or not memory.text:
        return 0
    return int(memory.text) * UNITS.get(memory.get("unit", "KiB"), 1024)


def _disk(element: Element) -> Disk:
    source, driver, target = element.find("source"), element.find("driver"), element.find("target")
    kind, device = element.get("type", "file"), element.get("device", "disk")
    return Disk(
        target=target.get("dev", "") if target is not None else "",
        kind=kind,
        source=_disk_source(kind, source),
        format=driver.get("type", "raw") if driver is not None else "raw",
        device=device,
        read_only=element.find("readonly") is not None or device == "cdrom",
        shareable=element.find("shareable") is not None,
        cache=driver.get("cache", "default") if driver is not None else "default",
        protocol=source.get("protocol") if source is not None else None,
    )


def _disk_source(kind: str, source: Element | None) -> str | None:
    if source is None:
        return None
    if kind == "volume":
        return f"{source.get('pool')}/{source.get('volume')}"
    return source.get({"file": "file", "block": "dev", "dir": "dir", "network": "name"}.get(kind, "file"))


def _interface(element: Element) -> Interface:
    source, target, model, mac = (element.find(tag) for tag in ("source", "target", "model", "mac"))
    kind = element.get("type", "")
    return Interface(
        mac=mac.get("address", "").lower() if mac is not None else "",
        kind=kind,
        source=source.get({"direct": "dev"}.get(kind, kind)) if source is not None else None,
        device=target.get("dev") if target is not None else None,
        model=model.get("type") if model is not None else None,
    )


def _host_devices(root: Element) -> Iterator[str]:
    for element in root.iterfind("devices/hostdev"):
        if element.get("type") in BINDING_HOSTDEVS and element.find("teaming") is None:
            address = element.find("source/address")
            where = "" if address is None else " " + " ".join(address.attrib.values())
            yield f"the {element.get('type')} device{where}"
    for element in root.iterfind("devices/interface"):
        if element.get("type") == "hostdev" and element.find("teaming") is None:
            mac = element.find("mac")
            yield f"the passed-through network card {mac.get('address') if mac is not None else ''}".rstrip()
    for element in root.iterfind("devices/filesystem"):
        driver = element.find("driver")
        if driver is None or driver.get("type") != "virtiofs":
            source = element.find("source")
            yield f"the shared folder {source.get('dir') if source is not None else ''} (9p)"


def _declared_addresses(root: Element) -> Iterator[str]:
    """Yield the fixed addresses that Nova writes into the metadata (``nova:ports/nova:port/nova:ip``)."""
    for element in root.iterfind("metadata//{*}port/{*}ip"):
        if address := element.get("address"):
            yield address
