from collections.abc import Sequence

import pytest
from tests.readiness.libvirt_hosts import cluster, codes, domain, facts, host, judged, recorded, running

from hotfoot.readiness.cpu import TOPIC, baseline_question
from hotfoot.readiness.cpu_model import Baseline, baseline, given_up, host_cpu, misfit
from hotfoot.readiness.domain_xml import DomainCpu
from hotfoot.readiness.facts import HostFacts, LibvirtFact
from hotfoot.readiness.finding import Severity

PLAIN = cluster()
REAL = host_cpu(recorded("debian13-tcg-domcapabilities.xml"))


def capabilities(
    model: str = "EPYC-Milan",
    vendor: str = "AMD",
    required: Sequence[str] = ("x2apic", "vaes"),
    disabled: Sequence[str] = (),
    usable: Sequence[str] = ("EPYC", "EPYC-Rome", "EPYC-Milan"),
    lacking: dict[str, Sequence[str]] | None = None,
) -> str:
    features = "".join(f"<feature policy='require' name='{each}'/>" for each in required)
    features += "".join(f"<feature policy='disable' name='{each}'/>" for each in disabled)
    models = "".join(f"<model usable='yes'>{each}</model>" for each in usable)
    for name, missing in (lacking or {}).items():
        blockers = "".join(f"<feature name='{each}'/>" for each in missing)
        models += f"<model usable='no'>{name}</model><blockers model='{name}'>{blockers}</blockers>"
    return (
        "<domainCapabilities><arch>x86_64</arch><cpu><mode name='host-model' supported='yes'>"
        f"<model fallback='forbid'>{model}</model><vendor>{vendor}</vendor>{features}</mode>"
        f"<mode name='custom' supported='yes'>{models}</mode></cpu></domainCapabilities>"
    )


MILAN = capabilities()
ROME = capabilities("EPYC-Rome", required=("x2apic",), usable=("EPYC", "EPYC-Rome"), lacking={"EPYC-Milan": ("vaes",)})
INTEL = capabilities("Skylake-Server", "Intel", ("x2apic",), usable=("kvm64", "Skylake-Server"))
COMMON = (
    "<cpu mode='custom' match='exact'><model fallback='forbid'>EPYC-Rome</model><vendor>AMD</vendor>"
    "<feature policy='require' name='x2apic'/><feature policy='disable' name='svm'/></cpu>"
)


def with_cpu(xml: str, name: str = "n1", *domains: str) -> HostFacts:
    libvirt = running(*domains) if domains else LibvirtFact(answers=True)
    return host(name, libvirt=libvirt.model_copy(update={"hypervisor_cpu": xml}))


def test_a_real_host_is_read() -> None:
    assert REAL is not None
    assert (REAL.vendor, REAL.model) == ("AMD", "EPYC")
    assert "x2apic" in REAL.required
    assert "Nehalem" in REAL.usable
    assert "hle" in REAL.blockers["Broadwell"]
    assert "EPYC" not in REAL.usable


def test_a_model_that_is_not_whole_runs_without_what_it_lacks() -> None:
    assert REAL is not None
    assert REAL.misfit(Baseline("Nehalem")) == ""
    assert "hle" in REAL.misfit(Baseline("Broadwell"))
    assert REAL.misfit(Baseline("Broadwell", disabled=REAL.blockers["Broadwell"])) == ""
    assert REAL.misfit(Baseline("EPYC")) != ""
    assert REAL.misfit(Baseline("EPYC", disabled=REAL.disabled)) == ""
    assert "does not know" in REAL.misfit(Baseline("Cray-1"))


@pytest.mark.parametrize("text", ["", "<cpu/>", "not xml", "<domainCapabilities><cpu/></domainCapabilities>"])
def test_what_is_no_cpu_is_none(text: str) -> None:
    assert host_cpu(text) is None
    assert baseline(text) is None


def test_alike_hosts_have_nothing_wrong() -> None:
    assert judged(TOPIC, PLAIN, with_cpu(MILAN), with_cpu(MILAN, "n2")) == ()


def test_hosts_that_do_not_tell_are_left_out() -> None:
    assert judged(TOPIC, PLAIN, with_cpu(MILAN), with_cpu("", "n2"), host("n3", libvirt=None)) == ()


def test_libvirts_own_answer_is_named_and_what_each_host_gives_up() -> None:
    found = judged(TOPIC, PLAIN, with_cpu(MILAN), with_cpu(ROME, "n2"), cpu_baseline=COMMON)
    assert codes(found) == ["differ n1", "differ n2"]
    assert {each.severity for each in found} == {Severity.ADVICE}
    assert "cpu: {model: EPYC-Rome, features: [x2apic, -svm]}" in found[0].remedy
    assert "give up EPYC-Milan, for EPYC-Rome" in found[0].evidence
    assert "give up svm" in found[1].evidence


def test_without_libvirts_answer_the_models_that_all_run_are_named() -> None:
    (found,) = judged(TOPIC, PLAIN, with_cpu(MILAN), with_cpu(ROME, "n2"), cpu_baseline_problem="too old")
    assert "EPYC and EPYC-Rome" in found.evidence
    assert "too old" in found.evidence


def test_the_newest_libvirt_is_asked_about_each_kind_once() -> None:
    hosts = [with_cpu(MILAN), with_cpu(ROME, "n2"), with_cpu(MILAN, "n3"), with_cpu("", "n4")]
    versions = ("9.0.0", "10.10.0", "9.11.0", "12.0.0")
    hosts = [
        each.model_copy(update={"libvirt": each.libvirt.model_copy(update={"version": version})})
        for each, version in zip(hosts, versions, strict=True)
        if each.libvirt
    ]
    assert baseline_question(facts(*hosts)) == ("n2", (MILAN, ROME))
    assert baseline_question(facts(hosts[0], hosts[2], hosts[3])) is None


def test_a_declared_cpu_must_run_everywhere() -> None:
    declared = cluster(cpu={"model": "EPYC-Milan"})
    found = judged(TOPIC, declared, with_cpu(MILAN), with_cpu(ROME, "n2"))
    assert codes(found) == ["declared-not-runnable n2"]
    assert "lacks vaes" in found[0].what
    assert judged(TOPIC, cluster(cpu={"model": "EPYC-Rome"}), with_cpu(MILAN), with_cpu(ROME, "n2")) == ()


def test_a_declared_cpu_may_leave_out_what_a_host_lacks() -> None:
    declared = cluster(cpu={"model": "EPYC-Milan", "features": ["-vaes"]})
    assert judged(TOPIC, declared, with_cpu(MILAN), with_cpu(ROME, "n2")) == ()


@pytest.mark.parametrize(("model", "severity"), [(None, Severity.BLOCKS), ("kvm64", Severity.DANGEROUS)])
def test_vendors_do_not_mix(model: str | None, severity: Severity) -> None:
    three = [
        with_cpu(capabilities(usable=("kvm64",))),
        with_cpu(INTEL, "n2"),
        with_cpu(capabilities(usable=("kvm64",)), "n3"),
    ]
    found = [each for each in judged(TOPIC, cluster(cpu={"model": model}), *three) if each.code == "cpu.other-vendor"]
    assert codes(found) == ["other-vendor n2"]
    assert found[0].severity is severity


def test_a_guest_with_the_whole_cpu_stays_among_its_like() -> None:
    whole = domain(cpu="<cpu mode='host-passthrough' check='none'/>")
    found = judged(TOPIC, PLAIN, with_cpu(MILAN, "n1", whole), with_cpu(MILAN, "n2"), with_cpu(ROME, "n3"))
    stuck = [each for each in found if each.code == "cpu.instance-stuck"]
    assert [(each.host, each.peer) for each in stuck] == [("n1", "n3")]
    assert "web" in stuck[0].what


def test_a_guests_features_are_compared_with_the_destinations_hypervisor() -> None:
    rich = domain(cpu="<cpu mode='custom' match='exact'><model>EPYC-Milan</model></cpu>")
    poor = domain("db", cpu="<cpu mode='custom' match='exact'><model>EPYC-Rome</model></cpu>")
    found = judged(TOPIC, PLAIN, with_cpu(MILAN, "n1", rich, poor), with_cpu(ROME, "n2"), with_cpu(ROME, "n3"))
    stuck = [each for each in found if each.code == "cpu.instance-stuck"]
    assert len(stuck) == 1
    assert (stuck[0].peer, stuck[0].what) == (None, "web on n1 cannot go to n2 and n3.")
    assert "vaes" in stuck[0].evidence


def test_nothing_is_said_of_what_follows_the_host() -> None:
    milan = host_cpu(MILAN)
    assert milan is not None
    assert misfit(DomainCpu(), None, milan) == ""
    assert misfit(DomainCpu(mode="host-model"), None, milan) == ""
    assert misfit(DomainCpu(mode="host-passthrough"), None, milan) == ""


def test_what_runs_on_a_host_runs_on_its_like() -> None:
    rome = host_cpu(ROME)
    assert rome is not None
    odd = DomainCpu(mode="custom", model="EPYC-Milan")
    assert misfit(odd, rome, rome) == ""
    assert misfit(odd, None, rome) != ""


def test_nothing_is_given_up_between_equals() -> None:
    milan = host_cpu(MILAN)
    assert milan is not None
    assert given_up(milan, Baseline(milan.model, milan.required)) == ""
