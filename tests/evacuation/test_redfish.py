"""Hosts switched off by Redfish: sushy against the service of sushy-tools, over TLS."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.evacuation import bmcs
from tests.evacuation.bmcs import PASSWORD, SYSTEMS, RedfishDouble, password_file, redfish_double

from hotfoot.cluster import Fence
from hotfoot.evacuation.fence import look, switch_off


async def refusal(fence: Fence) -> str:
    return await bmcs.refusal(fence, "Redfish at https://127.0.0.1:")


async def test_a_host_that_is_on_is_switched_off_and_read_as_off(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with redfish_double(tmp_path) as bmc:
        seen = await look(bmc.fence())
        assert seen is not None
        assert (seen.power, seen.problem, bmc.orders) == ("on", None, 0)
        assert await switch_off("n1", bmc.fence()) == f"n1 is off, says Redfish at {bmc.address}."
        assert bmc.orders == 1
        assert await switch_off("n1", bmc.fence()) == f"n1 was off already, says Redfish at {bmc.address}."
        assert bmc.orders == 1
    assert capfd.readouterr() == ("", "")


async def test_an_order_whose_answer_is_lost_is_proven_by_the_next_reading(tmp_path: Path) -> None:
    with redfish_double(tmp_path, "obey_without_a_word") as bmc:
        assert await switch_off("n1", bmc.fence()) == f"n1 is off, says Redfish at {bmc.address}."


async def test_a_host_that_stays_on_is_not_off(tmp_path: Path) -> None:
    with redfish_double(tmp_path, "ignore") as bmc:
        said = await refusal(bmc.fence(timeout_ms=8000))
        assert "though the order was given: it says that the power is on" in said
        assert bmc.orders == 1


async def test_a_bmc_that_falls_silent_after_the_order_proves_nothing(tmp_path: Path) -> None:
    with redfish_double(tmp_path, "die") as bmc:
        said = await refusal(bmc.fence(timeout_ms=8000))
        assert "though the order was given: it did not answer (Connection refused)" in said


async def test_a_wrong_password_is_told_with_its_file_and_without_a_word_of_the_library(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with redfish_double(tmp_path) as bmc:
        said = await refusal(bmc.fence(password="another secret"))
        assert f"does not accept the user hotfoot with the password in {tmp_path}/password" in said
        assert "another secret" not in said
        assert bmc.orders == 0
    assert capfd.readouterr() == ("", "")


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with redfish_double(tmp_path) as bmc:
        assert "has a certificate that is not trusted" in await refusal(bmc.fence(ca_file=None))
        password = tmp_path / "password"
        assert f"cannot be verified: {password} holds no certificate" in await refusal(bmc.fence(ca_file=password))
        assert "HTTP/1.1" not in bmc.log.read_text()  # nobody was told the password


async def test_the_bmcs_own_certificate_may_be_trusted(tmp_path: Path) -> None:
    with redfish_double(tmp_path, by_itself=True) as bmc:
        assert await switch_off("n1", bmc.fence()) == f"n1 is off, says Redfish at {bmc.address}."


async def test_a_certificate_of_another_machine_is_refused(tmp_path: Path) -> None:
    with redfish_double(tmp_path, name="n2-bmc.example.org") as bmc:
        assert "has a certificate that is not trusted (IP address mismatch" in await refusal(bmc.fence())


async def test_without_a_ca_file_this_machine_says_whom_to_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with redfish_double(tmp_path) as bmc:
        assert await switch_off("n1", bmc.fence(ca_file=None)) == f"n1 is off, says Redfish at {bmc.address}."


async def test_of_two_systems_one_must_be_named(tmp_path: Path) -> None:
    with redfish_double(tmp_path, systems=2) as bmc:
        said = await refusal(bmc.fence())
        assert "has 2 systems" in said
        assert f"/redfish/v1/Systems/{SYSTEMS[1]}" in said
        assert bmc.orders == 0
        await switch_off("n1", bmc.fence(system=f"/redfish/v1/Systems/{SYSTEMS[1]}"))
        other = await look(bmc.fence(system=f"/redfish/v1/Systems/{SYSTEMS[0]}"))
        assert other is not None
        assert other.power == "on"
        assert "has no such system" in await refusal(bmc.fence(system="/redfish/v1/Systems/none"))


async def test_a_bmc_that_does_not_answer_is_told_after_the_time(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bmc = RedfishDouble(tmp_path, f"https://127.0.0.1:{silent.getsockname()[1]}", tmp_path / "log")
        assert "did not say so within 1 s: it did not answer" in await refusal(bmc.fence(ca_file=None, timeout_ms=1000))


@pytest.mark.parametrize(
    ("mode", "words"), [(None, "cannot be read: No such file"), (0o640, "others may read"), (0o600, "no password in")]
)
async def test_a_password_that_cannot_be_had_or_that_others_may_read_is_not_used(
    tmp_path: Path, mode: int | None, words: str
) -> None:
    bmc = RedfishDouble(tmp_path, "https://127.0.0.1:9", tmp_path / "log")
    fence = bmc.fence()
    file = password_file(tmp_path, "" if mode == 0o600 else PASSWORD)
    file.unlink() if mode is None else file.chmod(mode)
    assert words in await refusal(fence)
