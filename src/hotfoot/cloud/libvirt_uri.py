"""How libvirt is addressed: from here, from another host, and for the memory stream. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

DEFAULT_PORTS = {"tls": 16514, "tcp": 16509, "ssh": 22}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How libvirt on one host is reached."""

    name: str
    address: str
    transport: str
    """``tls``, ``ssh`` or ``tcp``."""
    port: int | None = None
    user: str | None = None
    """ssh only; None leaves it to the ssh configuration."""
    peer_user: str | None = None
    """ssh only: as whom the other hosts' libvirt logs in here; None: as ``user``."""
    pki: str | None = None
    """Folder with cacert.pem, clientcert.pem, clientkey.pem; tls only."""
    ssh_command: str | None = None
    """Program to run instead of ``ssh``; ssh only."""
    stream_address: str | None = None
    """Where this host receives memory, as declared."""

    @property
    def port_in_use(self) -> int:
        """The port that a connection goes to, for messages."""
        return self.port or DEFAULT_PORTS[self.transport]


def controller_uri(endpoint: Endpoint) -> str:
    """Return the URI that this machine connects to."""
    query = {}
    if endpoint.transport == "tls" and endpoint.pki:
        query["pkipath"] = endpoint.pki
    if endpoint.transport == "ssh":
        query["no_tty"] = "1"
        if endpoint.ssh_command:
            query["command"] = endpoint.ssh_command
    return _uri(endpoint, endpoint.user) + (f"?{urlencode(query, quote_via=quote, safe='/')}" if query else "")


def peer_uri(endpoint: Endpoint) -> str:
    """Return the URI by which the source's libvirt connects to this destination, with its own keys."""
    return _uri(endpoint, endpoint.peer_user or endpoint.user) + ("?no_tty=1" if endpoint.transport == "ssh" else "")


def stream_uri(address: str) -> str:
    """Return the URI of the memory stream to an address."""
    return f"tcp://{_bracketed(address)}"


def _uri(endpoint: Endpoint, login: str | None) -> str:
    user = f"{quote(login, safe='')}@" if login and endpoint.transport == "ssh" else ""
    port = f":{endpoint.port}" if endpoint.port else ""
    return f"qemu+{endpoint.transport}://{user}{_bracketed(endpoint.address)}{port}/system"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
