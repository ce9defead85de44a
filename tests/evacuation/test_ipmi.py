"""Hosts switched off by IPMI 2.0: pyghmi against its own service, in a process of its own."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from tests.evacuation import bmcs
from tests.evacuation.bmcs import IpmiDouble, ipmi_double

from hotfoot.cluster import Fence
from hotfoot.evacuation.fence import look, switch_off


async def refusal(fence: Fence) -> str:
    return await bmcs.refusal(fence, "IPMI at 127.0.0.1, port ")


async def test_a_host_that_is_on_is_switched_off_and_read_as_off(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with ipmi_double(tmp_path) as bmc:
        seen = await look(bmc.fence())
        assert seen is not None
        assert (seen.power, seen.problem, bmc.orders) == ("on", None, 0)
        assert await switch_off("n1", bmc.fence()) == f"n1 is off, says IPMI at 127.0.0.1, port {bmc.port}."
        assert bmc.orders == 1
        assert await switch_off("n1", bmc.fence()) == f"n1 was off already, says IPMI at 127.0.0.1, port {bmc.port}."
        assert bmc.orders == 1
    assert capfd.readouterr() == ("", "")


async def test_a_host_that_stays_on_is_not_off(tmp_path: Path) -> None:
    with ipmi_double(tmp_path, "ignore") as bmc:
        said = await refusal(bmc.fence(timeout_ms=8000))
        assert "though the order was given: it says that the power is on" in said
        assert bmc.orders == 1


async def test_an_order_that_the_user_may_not_give_is_refused(tmp_path: Path) -> None:
    with ipmi_double(tmp_path, "refuse") as bmc:
        assert "refused (Insufficient privilege level" in await refusal(bmc.fence())


async def test_a_wrong_password_is_told_with_its_file(tmp_path: Path) -> None:
    with ipmi_double(tmp_path) as bmc:
        for _ in range(2):
            said = await refusal(bmc.fence(password="another"))
            assert f"does not accept the user hotfoot with the password in {tmp_path}/password" in said
        assert bmc.orders == 0


async def test_a_password_longer_than_ipmi_has_it_is_not_cut(tmp_path: Path) -> None:
    bmc = IpmiDouble(tmp_path, 9, tmp_path / "log")
    assert "takes passwords of at most 20 bytes" in await refusal(bmc.fence(password="x" * 21))


async def test_a_bmc_that_does_not_answer_is_told_after_the_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        bmc = IpmiDouble(tmp_path, silent.getsockname()[1], tmp_path / "log")
        assert "did not say so within 1 s: it did not answer" in await refusal(bmc.fence(timeout_ms=1000))


async def test_a_bmc_that_answers_at_last_is_believed(tmp_path: Path) -> None:
    with ipmi_double(tmp_path, asleep=True) as bmc:
        switching = asyncio.create_task(switch_off("n1", bmc.fence()))
        await asyncio.sleep(7)  # pyghmi gives a login up after some 6 s
        bmc.wake()
        assert await switching == f"n1 is off, says IPMI at 127.0.0.1, port {bmc.port}."
        assert bmc.orders == 1
