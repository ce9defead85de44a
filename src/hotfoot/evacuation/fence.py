"""Switching a host off for certain, in the way that the cluster file declares for it."""

from __future__ import annotations

from dataclasses import dataclass

from hotfoot.cluster.fence import Fence
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.evacuation.bmc import OFF, Bmc, NotOff, power_of, prove_off
from hotfoot.evacuation.fence_command import run_fence
from hotfoot.reach.secret_file import password_in


@dataclass(frozen=True, slots=True)
class Look:
    """What a BMC said when it was asked, and nothing ordered."""

    power: str | None
    """``off``, ``on``, or its own word; None where it did not say."""
    problem: str | None = None
    """Why the host could not be switched off, as what follows ``asked``."""

    @property
    def off(self) -> bool:
        """Whether the host is off already."""
        return self.power == OFF


def asked(fence: Fence) -> str:
    """Say who is asked: ``its fence command /usr/sbin/off``, ``Redfish at https://n1-bmc.example.org``."""
    if fence.redfish is not None:
        return f"Redfish at {fence.redfish.address}"
    if fence.ipmi is not None:
        port = "" if fence.ipmi.port == 623 else f", port {fence.ipmi.port}"
        return f"IPMI at {fence.ipmi.address}{port}"
    return f"its fence command {fence.command[0] if fence.command else ''}"


async def switch_off(host: str, fence: Fence) -> str:
    """Switch a host off; return the sentence that says what proves it. ``fence``: that of this host.

    Raises HotfootError (refused) where nothing proves it.
    """
    who = asked(fence)
    try:
        bmc = _bmc_of(fence)
        if bmc is None:
            await run_fence(fence.command or (), fence.timeout_s)
            return f"{host} is off: {who} ended with 0."
        already = await prove_off(bmc, fence.timeout_s)
    except NotOff as why:
        raise HotfootError(
            f"Nothing proves that {host} is off: {who} {why}; nothing was started.", ExitStatus.REFUSED
        ) from None
    return f"{host} was off already, says {who}." if already else f"{host} is off, says {who}."


async def look(fence: Fence) -> Look | None:
    """Ask the BMC of a host whether it is off, and order nothing; None for a command, which cannot be asked."""
    try:
        bmc = _bmc_of(fence)
        return None if bmc is None else Look(await power_of(bmc, fence.timeout_s))
    except NotOff as why:
        return Look(None, str(why))


def _bmc_of(fence: Fence) -> Bmc | None:
    """Raises NotOff where the password cannot be had."""
    try:
        if fence.redfish is not None:
            from hotfoot.evacuation.redfish import RedfishBmc

            return RedfishBmc(fence.redfish, password_in(fence.redfish.password_file))
        if fence.ipmi is not None:
            from hotfoot.evacuation.ipmi import IpmiBmc

            return IpmiBmc(fence.ipmi, password_in(fence.ipmi.password_file))
    except HotfootError as error:
        raise NotOff(f"cannot be logged in to: {error}") from None
    return None
