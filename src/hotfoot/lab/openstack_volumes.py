"""Volumes of a lab's Cinder: from them its instances boot, as if each had been made from an image."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hotfoot.lab.command import LabError
from hotfoot.lab.openstack_cloud import logs
from hotfoot.lab.spec import Lab

if TYPE_CHECKING:
    from openstack.connection import Connection

SIZE_GIB = 1
"""The least that Cinder makes; Ceph keeps only what is written of it."""
_BACKEND_S = 120
_VOLUME_S = 60


def wait(lab: Lab, cloud: Connection) -> None:
    """Wait until Cinder's scheduler knows where volumes can be; raises LabError where none comes."""
    end = time.monotonic() + _BACKEND_S
    while not list(cloud.block_storage.backend_pools()):
        if time.monotonic() > end:
            raise LabError(f"Cinder of lab {lab.name} has nowhere to put volumes (see {logs(lab)}/cinder-volume.log).")
        time.sleep(0.3)


def make(cloud: Connection, name: str, properties: Mapping[str, str]) -> str:
    """Make an empty volume from which Nova boots as from an image with these properties; return its id.

    Raises LabError where Cinder makes none, and leaves none then.
    """
    volume = str(cloud.block_storage.create_volume(name=name, size=SIZE_GIB).id)
    try:
        end = time.monotonic() + _VOLUME_S
        while (now := cloud.block_storage.get_volume(volume)).status == "creating" and time.monotonic() < end:
            time.sleep(0.3)
        if now.status != "available":
            raise LabError(f"Cinder did not make the volume of {name}: it is {now.status}.")
        cloud.block_storage.set_volume_image_metadata(volume, **properties)
        cloud.block_storage.set_volume_bootable_status(volume, True)
    except BaseException:
        remove(cloud, volume)
        raise
    return volume


def as_root(volume: str) -> list[dict[str, Any]]:
    """Return what Nova is told to boot a server from a volume, which is gone with the server."""
    return [
        {
            "boot_index": 0,
            "uuid": volume,
            "source_type": "volume",
            "destination_type": "volume",
            "delete_on_termination": True,
        }
    ]


def remove(cloud: Connection, volume: str) -> None:
    """Delete a volume that no server has."""
    cloud.block_storage.delete_volume(volume, ignore_missing=True)
