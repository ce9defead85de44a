"""What it takes to start an instance elsewhere once its host is dead. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """The definition of one instance as its host had it. The uuid in lower case with dashes."""

    uuid: str
    name: str
    xml: str
    """What libvirt would start it from; without secrets, which libvirt gives to nobody unless asked for them."""
    running: bool
    """Whether it was active, paused or not."""
    persistent: bool
    autostart: bool = False
    """Whether its host starts it by itself when it boots."""
