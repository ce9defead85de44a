"""Definitions of instances: read from a host, started on another, kept there. Blocking functions, as libvirt_host."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import libvirt

from hotfoot.cloud.libvirt_host import state_of
from hotfoot.definition import Definition
from hotfoot.inventory import InstanceState

_INACTIVE = frozenset({InstanceState.SHUT_OFF, InstanceState.CRASHED, InstanceState.UNKNOWN})


def definitions(connection: Any) -> tuple[Definition, ...]:
    """Return the definition of each instance of a host that will be used at its next start.

    Without VIR_DOMAIN_XML_SECURE, so that no password comes along. Halves of migrations are left out: the other host
    tells of those.
    """
    found = []
    for domain in connection.listAllDomains():
        with suppress(libvirt.libvirtError):  # gone between the list and the question
            state = state_of(domain)
            if state is not InstanceState.IN_TRANSIT:
                persistent = bool(domain.isPersistent())
                found.append(
                    Definition(
                        uuid=domain.UUIDString().lower(),
                        name=domain.name(),
                        xml=domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE),
                        running=state not in _INACTIVE,
                        persistent=persistent,
                        autostart=persistent and bool(domain.autostart()),
                    )
                )
    return tuple(found)


def start(connection: Any, xml: str) -> None:
    """Start an instance that is not defined here, or shut off; where that fails nothing is left of it."""
    connection.createXML(xml, 0)


def define(connection: Any, xml: str, *, autostart: bool) -> None:
    """Define an instance persistently, whether it runs or not; again does no harm."""
    domain = connection.defineXML(xml)
    if autostart:
        domain.setAutostart(1)
