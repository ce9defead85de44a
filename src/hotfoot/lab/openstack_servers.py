"""Instances of a lab with OpenStack: made and removed through its API, with the witness in them."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hotfoot.lab import image, openstack_cloud, openstack_volumes
from hotfoot.lab.command import LabError, run
from hotfoot.lab.namespaces import host_argv
from hotfoot.lab.openstack_config import CLOUD, PHYSICAL_NETWORK
from hotfoot.lab.spec import Lab, LabHost, LabInstance

if TYPE_CHECKING:
    from openstack.connection import Connection

NETWORK = "instances"
KERNEL = "witness-kernel"
RAMDISK = "witness-initramfs"
IMAGE = "witness"
"""The image of a server that nobody has given an address to; those of lab instances are named after it and them."""
_MICROVERSION = "2.96"
_COMPUTES_S = 120
_SERVER_S = 180


def connect(lab: Lab) -> Connection:
    """Return a connection to the lab's cloud as its administrator."""
    from openstack.config import OpenStackConfig
    from openstack.connection import Connection

    if not openstack_cloud.clouds_file(lab).exists():
        raise LabError(
            f"Lab {lab.name} has no {openstack_cloud.clouds_file(lab)} any more; `hotfoot lab down` ends it."
        )
    config = OpenStackConfig(config_files=[str(openstack_cloud.clouds_file(lab))], load_envvars=False)
    cloud = Connection(config=config.get_one(CLOUD))
    cloud.compute.default_microversion = _MICROVERSION
    return cloud


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what OpenStack refuses, or does not answer, into one sentence."""
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import SDKException

    try:
        yield
    except (SDKException, ClientException) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise LabError(f"The lab's OpenStack refused: {said}.") from None


def join(lab: Lab, control_plane: int, disk_mib: int) -> None:
    """Make running hosts, whose control plane is still coming up, a cloud that is ready for instances.

    ``control_plane`` is the process that starts it; images have a disk of ``disk_mib``.
    """
    openstack_cloud.wait(lab, control_plane)
    openstack_cloud.start_computes(lab)
    with _told():
        cloud = connect(lab)
        _make_images(lab, cloud, disk_mib)
        _make_network(lab, cloud)
        if lab.volumes:
            openstack_volumes.wait(lab, cloud)
        _wait_for_computes(lab, cloud)


def _make_images(lab: Lab, cloud: Connection, disk_mib: int) -> None:
    picture = image.cached()
    if picture is None:
        raise LabError("The lab's image is gone from the cache; `hotfoot lab down` and `lab up` make it anew.")
    for name, file, kind in ((KERNEL, picture.kernel, "aki"), (RAMDISK, picture.initramfs, "ari")):
        cloud.create_image(
            name, filename=str(file), disk_format=kind, container_format=kind, visibility="public", wait=True
        )
    _make_image(cloud, IMAGE, _empty_disk(lab, disk_mib), "console=ttyS0 tsc=unstable panic=-1")


def _wait_for_computes(lab: Lab, cloud: Connection) -> None:
    wanted = len(lab.hosts) + lab.fake_hosts
    end = time.monotonic() + _COMPUTES_S + 3 * lab.fake_hosts
    while True:
        # Without details: for these Nova asks every compute how long it has been up, and fails if one is slow.
        up = [each for each in cloud.compute.hypervisors() if each.state == "up"]
        if len(up) >= wanted:
            return
        if time.monotonic() > end:
            names = {each.name for each in up}
            words = [openstack_cloud.last_error(lab, host) for host in lab.hosts if host.name not in names]
            raise LabError(f"{len(up)} of {wanted} computes of lab {lab.name} are up; {' '.join(filter(None, words))}")
        time.sleep(0.5)


def create(
    lab: Lab, host: LabHost | None, instance: LabInstance, cmdline: str, group: str | None = None
) -> LabInstance:
    """Make a server, on a host or where the scheduler puts it; return the instance with its UUID and domain name.

    It is in the server group of that name, which is made (anti-affinity) when it is first asked for.

    The address lies in the kernel's command line, and this in an image or a volume of the instance's own. Raises
    LabError with Nova's reason, and leaves neither server, image nor volume then.
    """
    with _told():
        return _create(lab, connect(lab), host, instance, cmdline, group)


def _create(
    lab: Lab, cloud: Connection, host: LabHost | None, instance: LabInstance, cmdline: str, group: str | None
) -> LabInstance:
    network = _found(cloud.get_network(NETWORK), NETWORK)
    wish: dict[str, Any] = {"host": host.name} if host else {}
    if group:
        wish["scheduler_hints"] = {"group": _group(cloud, group).id}
    with _root(lab, cloud, instance, cmdline) as root:
        server = cloud.compute.create_server(
            name=instance.name,
            flavor_id=_flavor(cloud, instance.memory_mib).id,
            networks=[{"uuid": network.id, "fixed_ip": instance.address}],
            **root,
            **wish,
        )
    try:
        running = _wait_for_server(cloud, server.id, instance.name)
    except BaseException:
        with contextlib.suppress(LabError):  # what went wrong at first is what is told
            remove(lab, instance.model_copy(update={"uuid": server.id}))
        raise
    mac = next(iter(running.addresses.values()))[0]["OS-EXT-IPS-MAC:mac_addr"]
    fresh = {"uuid": running.id, "domain": running.instance_name, "mac": mac}
    return LabInstance.model_validate(instance.model_dump() | fresh)


@contextlib.contextmanager
def _root(lab: Lab, cloud: Connection, instance: LabInstance, cmdline: str) -> Iterator[dict[str, Any]]:
    """Make what a server boots from, and give how Nova is told so; it is gone again where no server comes of it."""
    if lab.volumes:
        volume = openstack_volumes.make(cloud, instance.name, _properties(cloud, cmdline))
        told: dict[str, Any] = {"block_device_mapping": openstack_volumes.as_root(volume)}
    else:
        disk: bytes = cloud.image.download_image(_found(cloud.get_image(IMAGE), IMAGE).id).content
        own = _make_image(cloud, f"{IMAGE}-{instance.name}", disk, cmdline)
        told = {"image_id": own.id}
    try:
        yield told
    except BaseException:
        if lab.volumes:
            openstack_volumes.remove(cloud, volume)
        else:
            cloud.delete_image(own.id)
        raise


def _wait_for_server(cloud: Connection, uuid: str, name: str) -> Any:
    """Return a server once it runs; raises LabError with Nova's reason where it does not."""
    end = time.monotonic() + _SERVER_S
    while (server := cloud.compute.get_server(uuid)).status not in ("ACTIVE", "ERROR") and time.monotonic() < end:
        time.sleep(0.3)
    if server.status != "ACTIVE":
        reason = (server.fault or {}).get("message") or f"it is still {server.status}"
        raise LabError(f"Nova did not start {name}: {reason.rstrip('.')}.")
    return server


def remove(lab: Lab, instance: LabInstance) -> None:
    """Delete an instance's server and image, and wait until they are gone; raises LabError if Nova does not."""
    with _told():
        cloud = connect(lab)
        cloud.delete_server(str(instance.uuid), wait=True, timeout=_SERVER_S)
        cloud.delete_image(f"{IMAGE}-{instance.name}", wait=True)


def _flavor(cloud: Connection, memory_mib: int) -> Any:
    """Return the flavor of that memory, made when it is first asked for; others may ask at the same time."""
    from openstack.exceptions import ConflictException

    name = f"m{memory_mib}"
    if found := cloud.get_flavor(name):
        return found
    try:
        return cloud.create_flavor(name, memory_mib, 1, 0)
    except ConflictException:
        return _found(cloud.get_flavor(name), name)


def _group(cloud: Connection, name: str) -> Any:
    """Return the server group of that name, made when it is first asked for."""
    found = cloud.compute.find_server_group(name)
    return found or cloud.compute.create_server_group(name=name, policy="anti-affinity")


def _make_network(lab: Lab, cloud: Connection) -> None:
    network = cloud.network.create_network(
        name=NETWORK,
        provider_network_type="flat",
        provider_physical_network=PHYSICAL_NETWORK,
        is_port_security_enabled=False,
        is_shared=True,
    )
    cloud.network.create_subnet(
        network_id=network.id,
        name=NETWORK,
        ip_version=4,
        cidr=f"10.88.{lab.number}.0/24",
        gateway_ip=None,
        is_dhcp_enabled=False,
        # What the lab does not give to its own instances.
        allocation_pools=[{"start": f"10.88.{lab.number}.20", "end": f"10.88.{lab.number}.99"}],
    )


def _make_image(cloud: Connection, name: str, disk: bytes, cmdline: str) -> Any:
    return cloud.create_image(
        name,
        data=disk,
        disk_format="qcow2",
        container_format="bare",
        visibility="public",
        wait=True,
        **_properties(cloud, cmdline),
    )


def _properties(cloud: Connection, cmdline: str) -> dict[str, Any]:
    """Return the properties of an image, or of a volume, that boots the instances' kernel."""
    return {
        "kernel_id": _found(cloud.get_image(KERNEL), KERNEL).id,
        "ramdisk_id": _found(cloud.get_image(RAMDISK), RAMDISK).id,
        "os_command_line": cmdline,
        "hw_video_model": "none",
    }


def _found(thing: Any, name: str) -> Any:
    if thing is None:
        raise LabError(f"The lab's OpenStack has no {name} any more; `hotfoot lab down` and `lab up` make it anew.")
    return thing


def _empty_disk(lab: Lab, size_mib: int) -> bytes:
    """Return an empty qcow2 file, made by a host's own program."""
    script = f"qemu-img create -q -f qcow2 /run/empty {size_mib}M && base64 /run/empty && rm /run/empty"
    return base64.b64decode(run([*host_argv(lab, lab.hosts[0]), "sh", "-c", script]))
