"""How a host is switched off for certain: by a command of the operator's, or through its BMC."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from hotfoot.cluster.keys import Section, told
from hotfoot.cluster.values import (
    BmcAddress,
    BmcUrl,
    BmcUser,
    Duration,
    FenceWord,
    IpmiUser,
    LocalPath,
    Port,
    RedfishPath,
    in_place,
)

_PASSWORD = "File with the password in its first line, readable by nobody else; relative to this file's folder."
WAYS = ("command", "redfish", "ipmi")


@dataclass(frozen=True, kw_only=True)
class Redfish(Section):
    """A BMC that speaks Redfish; its certificate is always verified."""

    address: BmcUrl = field(
        metadata=told(
            "Where it answers, such as https://{host}-bmc.example.org; {host} and {address} stand for the host."
        )
    )
    user: BmcUser = field(metadata=told("User of the BMC that may switch the power."))
    password_file: LocalPath = field(metadata=told(_PASSWORD))
    system: RedfishPath | None = field(
        default=None,
        metadata=told(
            "The host's own path, such as /redfish/v1/Systems/1; {host} and {address} stand for the host. By default "
            "the only system there is."
        ),
    )
    ca_file: LocalPath | None = field(
        default=None,
        metadata=told(
            "Certificates (PEM) that are trusted here in place of those that this machine trusts; relative to this "
            "file's folder."
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Ipmi(Section):
    """A BMC that speaks IPMI 2.0 over the network."""

    address: BmcAddress = field(
        metadata=told("Where it answers, such as {host}-bmc.example.org; {host} and {address} stand for the host.")
    )
    port: Port = field(default=623, metadata=told("UDP port."))
    user: IpmiUser = field(metadata=told("User of the BMC that may switch the power."))
    password_file: LocalPath = field(metadata=told(_PASSWORD))


@dataclass(frozen=True, kw_only=True)
class Fence(Section):
    """How a host is switched off for certain, before `hotfoot evacuate` starts its instances elsewhere."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        **Section.__pydantic_config__,
        "json_schema_extra": {"oneOf": [{"required": [way]} for way in WAYS]},
    }

    command: tuple[FenceWord, ...] | None = field(
        default=None,
        metadata=told(
            "Program and arguments, run on this machine without a shell; {host} and {address} stand for the "
            "host. Ending with 0 says that the host is off. Secrets belong into files or the environment.",
            min_length=1,
        ),
    )
    redfish: Redfish | None = field(default=None, metadata=told("The host's BMC, asked by Redfish."))
    ipmi: Ipmi | None = field(default=None, metadata=told("The host's BMC, asked by IPMI."))
    timeout_ms: Duration | None = field(
        default=None, metadata=told("How long it may take, such as 3m; by default 2m.", alias="timeout")
    )

    @property
    def ways(self) -> tuple[str, ...]:
        """Which of the ways are given: one, where nothing is wrong."""
        return tuple(way for way in WAYS if getattr(self, way) is not None)

    @property
    def timeout_s(self) -> float:
        """How long it may take."""
        return (120_000 if self.timeout_ms is None else self.timeout_ms) / 1000

    @property
    def machine(self) -> tuple[str, ...] | None:
        """What tells the machine that a BMC switches from others; None for a command, which only its author knows."""
        if self.redfish is not None:
            return ("redfish", self.redfish.address.lower(), self.redfish.system or "")
        if self.ipmi is not None:
            return ("ipmi", self.ipmi.address.lower(), str(self.ipmi.port))
        return None

    def of(self, host: str, address: str) -> Self:
        """Return it for one host: with its name and address in place of {host} and {address}."""
        command, redfish, ipmi = self.command, self.redfish, self.ipmi
        if command is not None:
            command = tuple(in_place(word, host, address) for word in command)
        if redfish is not None:
            in_url = f"[{address}]" if ":" in address else address
            system = None if redfish.system is None else in_place(redfish.system, host, address)
            redfish = replace(redfish, address=in_place(redfish.address, host, in_url), system=system)
        if ipmi is not None:
            ipmi = replace(ipmi, address=in_place(ipmi.address, host, address))
        return replace(self, command=command, redfish=redfish, ipmi=ipmi)
