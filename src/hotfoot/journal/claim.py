"""A claim: who is moving an instance, written on the instance itself. Pure.

It lies in the live metadata of the libvirt domain, since that is the one place which every controller sees, whatever
journal it has, and which travels with the instance and ends with it. The definition on disk is never touched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element as NewElement
from xml.etree.ElementTree import ParseError, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from hotfoot.journal.owner import Owner

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim; ``count`` grows while its owner lives and no migration is under way yet."""

    owner: Owner
    since_ms: int
    """Since 1970, by the owner's clock: for the operator, never for a decision."""
    count: int = 0

    def renewed(self) -> Claim:
        """Return the claim as its owner writes it next."""
        return replace(self, count=self.count + 1)

    def __str__(self) -> str:
        return f"{self.owner} since {datetime.fromtimestamp(self.since_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def to_xml(claim: Claim) -> str:
    """Return the element that is kept; libvirt adds the namespace."""
    owner = claim.owner
    words = {"user": owner.user, "host": owner.host, "boot": owner.boot}
    figures = {"pid": owner.pid, "start": owner.start, "since": claim.since_ms, "count": claim.count}
    element = NewElement("claim", words | {key: str(figure) for key, figure in figures.items()})
    return tostring(element, encoding="unicode")


def from_xml(text: str | None) -> Claim | None:
    """Read a claim; None where there is none, or what is there was not written by a Hotfoot."""
    if text is None:
        return None
    try:
        element: Element = fromstring(text)
        owner = Owner(
            user=element.attrib["user"],
            host=element.attrib["host"],
            boot=element.attrib["boot"],
            pid=int(element.attrib["pid"]),
            start=int(element.attrib["start"]),
        )
        return Claim(owner=owner, since_ms=int(element.attrib["since"]), count=int(element.attrib["count"]))
    except (ParseError, DefusedXmlException, KeyError, ValueError):
        return None
