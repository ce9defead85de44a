"""The host as a whole."""

from __future__ import annotations

from uuid import UUID

from hotfoot.cluster import Cluster
from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness.change import EditFile, Refresh
from hotfoot.readiness.edit import value_of
from hotfoot.readiness.facts import Facts, HostFacts, LibvirtFact, OsFact, Silence, Text
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.judge import judge
from hotfoot.readiness.plan import plan
from hotfoot.readiness.system import FULL_BYTES, NEARLY_FULL_BYTES, TOPIC

UUIDS = {"n1": "11111111-2222-3333-4444-555555555501", "n2": "11111111-2222-3333-4444-555555555502"}


def _host(name: str, *, machine_id: str = "", host_uuid: str = "", modular: bool = False, **more: object) -> HostFacts:
    system = OsFact(id="debian", systemd=True, arch="x86_64", machine_id=machine_id or name)
    libvirt = LibvirtFact(answers=True, host_uuid=host_uuid or UUIDS.get(name, ""), modular=modular)
    return HostFacts.model_validate({"host": name, "os": system, "libvirt": libvirt, **more})


def _found(*hosts: HostFacts, silent: tuple[Silence, ...] = ()) -> tuple[Finding, ...]:
    return judge(_cluster(hosts, silent), Facts(hosts=hosts, silent=silent), [TOPIC])


def _cluster(hosts: tuple[HostFacts, ...], silent: tuple[Silence, ...] = ()) -> Cluster:
    names = [host.host for host in hosts] + [silence.host for silence in silent]
    return cluster_from(
        {"hosts": [{"name": name, "address": f"10.0.0.{number}"} for number, name in enumerate(names, start=1)]}
    )


def test_ordinary_hosts_are_right() -> None:
    assert _found(_host("n1", free_bytes={"/": NEARLY_FULL_BYTES}), _host("n2")) == ()


def test_a_silent_host_blocks_with_its_reason() -> None:
    (finding,) = _found(_host("n1"), silent=(Silence(host="n9", reason="connection refused"),))
    assert (finding.code, finding.host, finding.severity) == ("system.unreachable", "n9", Severity.BLOCKS)
    assert finding.evidence == "connection refused"


def test_a_missing_section_is_told_with_its_reason() -> None:
    (finding,) = _found(_host("n1", failures={"storage": "gluster did not answer within 3 s"}))
    assert (finding.code, finding.severity) == ("system.half-answered", Severity.DANGEROUS)
    assert "gluster did not answer" in finding.evidence


def test_no_systemd_and_an_unknown_distribution_are_advice() -> None:
    found = _found(_host("n1", os=OsFact(id="gentoo", arch="x86_64")))
    assert {(each.code, each.severity) for each in found} == {
        ("system.no-systemd", Severity.ADVICE),
        ("system.unknown-distribution", Severity.ADVICE),
    }


def test_a_full_file_system_is_told_once() -> None:
    free = FULL_BYTES - 1
    (finding,) = _found(_host("n1", free_bytes={"/": free, "/var": free, "/var/log": NEARLY_FULL_BYTES, "/tmp": 0}))
    assert (finding.code, finding.severity) == ("system.full", Severity.BLOCKS)


def test_a_nearly_full_log_is_dangerous() -> None:
    (finding,) = _found(_host("n1", free_bytes={"/": 10**12, "/var": 10**12, "/var/log": NEARLY_FULL_BYTES - 1}))
    assert (finding.code, finding.severity) == ("system.nearly-full", Severity.DANGEROUS)
    assert "/var/log" in finding.what


def test_the_odd_architecture_is_found() -> None:
    arm = _host("n2", os=OsFact(id="debian", systemd=True, arch="aarch64", machine_id="n2"))
    (finding,) = _found(_host("n1"), arm, _host("n3"))
    assert (finding.code, finding.host, finding.severity) == ("system.architecture", "n2", Severity.BLOCKS)


def test_a_copied_machine_id_is_found() -> None:
    (finding,) = _found(_host("n1", machine_id="abc"), _host("n2", machine_id="abc"))
    assert (finding.code, finding.host, finding.peer) == ("system.machine-id", "n2", "n1")


def test_equal_host_uuids_get_different_ones_that_stay_the_same() -> None:
    conf = "/etc/libvirt/libvirtd.conf"
    text = Text(path=conf, exists=True, content='# libvirt\nhost_uuid = "x"\n', sha256="0", mode=0o644)
    hosts = tuple(_host(name, host_uuid=UUIDS["n1"], files={conf: text}) for name in ("n1", "n2", "n3"))
    found = _found(*hosts)
    assert [(each.code, each.host, each.severity) for each in found] == [
        ("system.host-uuid", name, Severity.BLOCKS) for name in ("n2", "n3")
    ]
    planned = plan(found, Facts(hosts=hosts)).changes
    written = [value_of(each.new_text or "", "host_uuid") for each in planned if isinstance(each.step, EditFile)]
    assert len({UUID((value or "").strip('"')) for value in written}) == 2
    assert [each.step for each in planned][-1] == Refresh(unit="libvirtd.service")
    assert plan(_found(*hosts), Facts(hosts=hosts)) == plan(found, Facts(hosts=hosts))


def test_modular_daemons_have_their_host_uuid_elsewhere() -> None:
    hosts = tuple(_host(name, host_uuid=UUIDS["n1"], modular=True) for name in ("n1", "n2"))
    (finding,) = _found(*hosts)
    steps = [change.step for change in finding.changes]
    assert isinstance(steps[0], EditFile)
    assert steps[0].path == "/etc/libvirt/virtqemud.conf"
    assert steps[1] == Refresh(unit="virtqemud.service")
