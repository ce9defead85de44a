"""Light hosts: pure parts, which need no lab."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.test_lab_plan import a_lab

from hotfoot.errors import HotfootError
from hotfoot.lab import light
from hotfoot.lab.spec import MOST_HOSTS, Firewall, Storage

LABS = st.integers(0, 255)
HOSTS = st.integers(1, MOST_HOSTS)


@given(st.tuples(LABS, HOSTS), st.tuples(LABS, HOSTS))
def test_no_two_light_hosts_of_any_labs_are_made_by_one_user(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (light.maker(*one) == light.maker(*other)) == (one == other)


@given(LABS, HOSTS)
def test_the_user_who_makes_a_light_host_is_none_that_systemd_gives_away(lab: int, host: int) -> None:
    """Dynamic users and containers end at 1879048191, foreign ones begin at 2147352576 (systemd.io/UIDS-GIDS)."""
    assert 1879048191 < light.maker(lab, host) < 2147352576


@pytest.mark.parametrize(
    ("instances", "storage", "firewall", "other"),
    [(1, "none", "none", False), (0, "glusterfs", "none", False), (0, "none", "ufw", False), (0, "none", "none", True)],
)
def test_what_light_hosts_cannot_do_is_refused_in_one_sentence(
    instances: int, storage: Storage, firewall: Firewall, other: bool
) -> None:
    with pytest.raises(HotfootError, match="--light is for hosts to look at, without instances and with storage none"):
        light.refuse(True, instances, storage, firewall, other=other)
    light.refuse(False, instances, storage, firewall, other=other)


def test_light_hosts_are_not_refused_by_themselves_and_run_no_instances() -> None:
    light.refuse(True, 0, "none", "none", other=False)
    lab = a_lab()
    light.refuse_instance(lab)
    with pytest.raises(HotfootError, match="Lab lab is a light one"):
        light.refuse_instance(lab.model_copy(update={"light": True}))
