"""Signs of life, asked of this machine itself, and of an address that nobody has."""

from __future__ import annotations

import socket

from tests.evacuation.definitions import xml_of

from hotfoot.cloud.libvirt_xml import instance_of
from hotfoot.evacuation.life import HostAddresses, signs_of_life
from hotfoot.inventory import InstanceState

NOBODY = "255.255.255.255"  # to all at once, which nobody connects to: nothing leaves this machine


async def test_a_port_that_is_open_or_refuses_is_a_sign_of_life() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        open_one = HostAddresses(name="n1", addresses=(NOBODY, "127.0.0.1"), ports=(port,))
        assert "n1 still answers at 127.0.0.1" in (await signs_of_life([open_one]))[0]
    refusing = HostAddresses(name="n2", addresses=("127.0.0.1",), ports=(port,))
    assert len(await signs_of_life([refusing])) == 1


async def test_an_address_that_nobody_has_gives_none() -> None:
    assert await signs_of_life([HostAddresses(name="n1", addresses=(NOBODY,), ports=(22,))]) == ()
    assert await signs_of_life([HostAddresses(name="n1", addresses=("no-such-host.invalid",), ports=(22,))]) == ()


async def test_an_instance_that_answers_says_that_its_host_lives() -> None:
    declared = (
        "<metadata><n:instance xmlns:n='urn:x'><n:ports><n:port><n:ip address='127.0.0.1'/></n:port></n:ports>"
        "</n:instance></metadata></domain>"
    )
    one = instance_of(xml_of("a").replace("</domain>", declared), "n1", InstanceState.RUNNING, persistent=True)
    assert one.addresses == ("127.0.0.1",)
    (sign,) = await signs_of_life([], [one])
    assert "a still answers at 127.0.0.1" in sign
