"""Clocks: who is odd, and what is started."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness.change import Install, SetUnit
from hotfoot.readiness.clocks import MOST_APART_S, TOPIC
from hotfoot.readiness.facts import ClockFact, Facts, HostFacts, OsFact, PathFact, UnitFact
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.judge import judge


def _host(
    name: str,
    offset_s: float | None = 0.0,
    *,
    synchronised: bool | None = True,
    uncertainty_s: float = 0.01,
    **more: object,
) -> HostFacts:
    clock = ClockFact(now_s=0, offset_s=offset_s, uncertainty_s=uncertainty_s, synchronised=synchronised)
    system = OsFact(id="debian", systemd=True)
    return HostFacts.model_validate({"host": name, "clock": clock, "os": system, **more})


def _found(*hosts: HostFacts) -> tuple[Finding, ...]:
    cluster = cluster_from({"hosts": [{"name": host.host, "address": "10.0.0.1"} for host in hosts]})
    return judge(cluster, Facts(hosts=hosts), [TOPIC])


def test_clocks_that_agree_are_right() -> None:
    assert _found(_host("n1", 0.2), _host("n2", -0.3), _host("n3", None)) == ()


def test_all_hosts_may_differ_from_the_controller() -> None:
    assert _found(_host("n1", 60.0), _host("n2", 60.3), _host("n3", 60.1)) == ()


def test_the_odd_one_is_found_not_the_others() -> None:
    (finding,) = _found(_host("n1", 0.1), _host("n2", 5.0), _host("n3", 0.0))
    assert (finding.code, finding.host, finding.severity) == ("clocks.apart", "n2", Severity.DANGEROUS)
    assert "4.9 s ahead" in finding.what or "5.0 s ahead" in finding.what


def test_of_two_hosts_the_controller_tells_which_is_odd() -> None:
    (finding,) = _found(_host("n1", -7.0), _host("n2", 0.0))
    assert finding.host == "n1"
    assert "behind" in finding.what


def test_what_is_uncertain_is_not_claimed() -> None:
    assert _found(_host("n1", 1.4, uncertainty_s=0.5), _host("n2", 0.0)) == ()


def test_an_unsynchronised_clock_is_advice_and_the_installed_service_is_started() -> None:
    units = {"chrony.service": UnitFact(name="chrony.service", load="loaded", active="inactive", enabled="disabled")}
    (finding,) = _found(_host("n1", synchronised=False, packages={"chrony": "4"}, units=units))
    assert (finding.code, finding.severity) == ("clocks.not-synchronised", Severity.ADVICE)
    assert [change.step for change in finding.changes] == [SetUnit(unit="chrony.service", enabled=True, running=True)]


def test_without_a_time_service_the_distributions_own_is_installed() -> None:
    (debian,) = _found(_host("n1", synchronised=False))
    assert Install(packages=("systemd-timesyncd",)) in [change.step for change in debian.changes]
    (redhat,) = _found(_host("n1", synchronised=False, os=OsFact(id="rocky", id_like="rhel centos fedora")))
    assert [change.step for change in redhat.changes] == [
        Install(packages=("chrony",)),
        SetUnit(unit="chronyd.service", enabled=True, running=True),
    ]


def test_a_service_that_runs_is_left_to_a_person() -> None:
    units = {"chronyd.service": UnitFact(name="chronyd.service", load="loaded", active="active", enabled="enabled")}
    (finding,) = _found(_host("n1", synchronised=False, units=units))
    assert finding.changes == ()
    assert "chronyc sources" in finding.remedy


def test_a_container_has_no_clock_of_its_own() -> None:
    inside = {"/run/systemd/container": PathFact(path="/run/systemd/container", exists=True)}
    assert _found(_host("n1", synchronised=False, paths=inside)) == ()
    (finding,) = _found(_host("n1", 9.0, paths=inside), _host("n2"), _host("n3"))
    assert finding.changes == ()
    assert "container" in finding.remedy


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=12))
def test_the_hosts_that_are_not_odd_agree_two_by_two(offsets: list[float]) -> None:
    hosts = [_host(f"n{number}", offset, uncertainty_s=0.0) for number, offset in enumerate(offsets)]
    odd = {finding.host for finding in _found(*hosts)}
    rest = [offset for number, offset in enumerate(offsets) if f"n{number}" not in odd]
    assert rest
    assert max(rest) - min(rest) <= MOST_APART_S
    if max(offsets) - min(offsets) <= MOST_APART_S:
        assert not odd
