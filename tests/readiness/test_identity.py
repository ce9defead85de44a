"""Users and groups: the same numbers on all hosts, all changed at once."""

from __future__ import annotations

from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness.change import AlignIds, Command, Refresh, SetMode
from hotfoot.readiness.facts import Facts, GroupFact, HostFacts, IdentityFact, LibvirtFact, UserFact
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.identity import TOPIC
from hotfoot.readiness.judge import judge

SHARED = {"path": "/var/lib/nova/instances", "type": "nfs"}
LOCAL = {"path": "/var/lib/nova/instances", "type": "local"}
NOLOGIN = "/usr/sbin/nologin"


def _host(
    name: str,
    nova: tuple[int, int] | None = (108, 113),
    qemu: tuple[int, int] = (64055, 104),
    *,
    others: tuple[UserFact, ...] = (),
    shell: str = NOLOGIN,
    members: tuple[str, ...] = ("nova",),
    red_hat: bool = False,
    libvirt: LibvirtFact | None = None,
    packages: dict[str, str] | None = None,
    **more: object,
) -> HostFacts:
    user, group = ("qemu", "qemu") if red_hat else ("libvirt-qemu", "kvm")
    users = [UserFact(name="root", uid=0, gid=0), UserFact(name=user, uid=qemu[0], gid=qemu[1]), *others]
    groups = [GroupFact(name="root", gid=0), GroupFact(name=group, gid=qemu[1])]
    groups.append(GroupFact(name="libvirt", gid=120, members=members))
    if nova:
        users.append(UserFact(name="nova", uid=nova[0], gid=nova[1], home="/var/lib/nova", shell=shell))
        groups.append(GroupFact(name="nova", gid=nova[1]))
    identity = IdentityFact.model_validate({"users": users, "groups": groups, **more})
    return HostFacts(host=name, identity=identity, libvirt=libvirt, packages=packages or {})


def _found(*hosts: HostFacts, storage: dict[str, str] | None = SHARED, **more: object) -> tuple[Finding, ...]:
    cluster = {
        "hosts": [{"name": host.host, "address": f"10.0.0.{number}"} for number, host in enumerate(hosts, start=1)],
        "storage": [storage] if storage else [],
        **more,
    }
    return judge(cluster_from(cluster), Facts(hosts=hosts), [TOPIC])


def _align(finding: Finding) -> AlignIds:
    step = finding.changes[0].step
    assert isinstance(step, AlignIds)
    return step


def test_equal_numbers_are_right() -> None:
    assert _found(_host("n1"), _host("n2"), _host("n3")) == ()


def test_a_differing_user_takes_the_number_of_most_hosts() -> None:
    (finding,) = _found(_host("n1"), _host("n2", nova=(110, 113)), _host("n3"))
    assert (finding.code, finding.host, finding.severity) == ("identity.nova-uid", "n2", Severity.BLOCKS)
    assert _align(finding) == AlignIds(users={"nova": 108})


def test_the_reason_of_a_number_is_who_has_it_already() -> None:
    (second, third) = _found(_host("n1"), _host("n2", nova=(110, 113)), _host("n3", nova=(111, 113)))
    assert second.what == "nova (uid 110) on n2 is to have 108, as on n1."
    assert third.what == "nova (uid 111) on n3 is to have 108, as on n1."
    clash = UserFact(name="backup", uid=108, gid=1), UserFact(name="mail", uid=110, gid=1)
    found = _found(_host("n1", others=clash[1:]), _host("n2", nova=(110, 113), others=clash[:1]))
    assert [finding.what for finding in found] == [
        "nova (uid 108) on n1 is to have 600, which nobody else keeps on any host.",
        "nova (uid 110) on n2 is to have 600, which nobody else keeps on any host.",
    ]
    (finding,) = _found(_host("n1"), _host("n2", nova=(110, 113), others=(UserFact(name="x", uid=110, gid=1),)))
    assert finding.why == "nova is to have 108, as on n1, and nothing tells which files are whose."


def test_all_of_a_host_is_renumbered_in_one_step() -> None:
    found = _found(_host("n1"), _host("n2", nova=(110, 104), qemu=(120, 113)), _host("n3"))
    assert {finding.code for finding in found} == {
        "identity.nova-uid", "identity.nova-gid", "identity.qemu-uid", "identity.qemu-gid"
    }  # fmt: skip
    wanted = AlignIds(users={"nova": 108, "libvirt-qemu": 64055}, groups={"nova": 113, "kvm": 104})
    assert {finding.host for finding in found} == {"n2"}
    assert all(_align(finding) == wanted for finding in found)


def test_swapped_ids_are_swapped_back() -> None:
    found = _found(_host("n1", nova=(64055, 113), qemu=(108, 104)), _host("n2"), _host("n3"))
    assert [finding.host for finding in found] == ["n1", "n1"]
    assert _align(found[0]).users == {"nova": 108, "libvirt-qemu": 64055}


def test_a_new_number_of_qemu_is_read_by_libvirt_and_given_to_its_device_files() -> None:
    libvirt = LibvirtFact(answers=True, modular=True)
    (finding,) = _found(_host("n1"), _host("n2", qemu=(64055, 108), libvirt=libvirt), _host("n3"))
    align, devices, refresh = (change.step for change in finding.changes)
    assert align == AlignIds(groups={"kvm": 104})
    assert isinstance(devices, Command)
    assert (devices.argv[4], devices.argv[7]) == ("108", "104")
    assert (devices.undo[4], devices.undo[7]) == ("104", "108")
    assert refresh == Refresh(unit="virtqemud.service")


def test_names_of_different_distributions_are_compared_by_number() -> None:
    found = _found(_host("n1"), _host("n2"), _host("n3", qemu=(107, 107), red_hat=True))
    assert {(finding.code, finding.host) for finding in found} == {
        ("identity.qemu-uid", "n3"), ("identity.qemu-gid", "n3")
    }  # fmt: skip
    assert _align(found[0]) == AlignIds(users={"qemu": 64055}, groups={"qemu": 104})


def test_declared_numbers_are_given_to_all() -> None:
    found = _found(_host("n1"), _host("n2"), identity={"nova": {"uid": 500, "gid": 501}})
    assert {_align(finding).users.get("nova") for finding in found} == {500}
    assert {finding.host for finding in found} == {"n1", "n2"}


def test_a_declared_number_of_somebody_else_is_told_and_not_taken() -> None:
    backup = UserFact(name="backup", uid=500, gid=500)
    found = _found(_host("n1", others=(backup,)), _host("n2"), identity={"nova": {"uid": 500}})
    assert {finding.code for finding in found} == {"identity.number-taken"}
    assert all("backup on n1" in finding.evidence and not finding.changes for finding in found)


def test_a_number_shared_with_another_user_is_left_to_a_person() -> None:
    twin = UserFact(name="backup", uid=110, gid=110)
    (finding,) = _found(_host("n1"), _host("n2", nova=(110, 113), others=(twin,)), _host("n3"))
    assert (finding.code, finding.changes) == ("identity.shared-number", ())
    assert "backup" in finding.what


def test_a_group_that_shares_its_number_does_not_keep_its_user_from_being_renumbered() -> None:
    n2 = _host("n2", nova=(110, 120))  # 120 is libvirt's group
    found = {finding.code: finding for finding in _found(_host("n1"), n2, _host("n3"))}
    assert set(found) == {"identity.nova-uid", "identity.shared-number"}
    assert _align(found["identity.nova-uid"]) == AlignIds(users={"nova": 108})


def test_running_processes_are_named_in_the_remedy() -> None:
    (finding,) = _found(_host("n1"), _host("n2", nova=(110, 113), processes={110: 4}), _host("n3"))
    assert "4 processes run as nova" in finding.remedy


def test_without_shared_storage_it_is_advice() -> None:
    (finding,) = _found(_host("n1"), _host("n2", nova=(110, 113)), _host("n3"), storage=LOCAL)
    assert finding.severity is Severity.ADVICE
    (finding,) = _found(_host("n1"), _host("n2", nova=(110, 113)), _host("n3"), storage=None)
    assert finding.severity is Severity.DANGEROUS


def test_a_host_without_nova_is_found_where_others_have_it() -> None:
    (finding,) = _found(_host("n1"), _host("n2", nova=None))
    assert (finding.code, finding.host, finding.changes) == ("identity.missing-user", "n2", ())
    assert _found(_host("n1", nova=None), _host("n2", nova=None)) == ()


def test_nova_compute_needs_the_group_of_libvirt() -> None:
    (finding,) = _found(_host("n1", members=(), packages={"nova-compute": "29"}))
    assert finding.code == "identity.nova-not-in-libvirt"
    assert _found(_host("n1", members=())) == ()


def test_a_shell_of_nova_that_nobody_needs_is_advice() -> None:
    (finding,) = _found(_host("n1", shell="/bin/bash"))
    assert (finding.code, finding.severity) == ("identity.nova-shell", Severity.ADVICE)
    assert _found(_host("n1", shell="/bin/bash"), migration={"user": "nova"}) == ()


def test_files_that_a_renumbering_forgot_go_back_to_nova_but_disks_do_not() -> None:
    left = ("/var/lib/nova/keys/a", "/var/lib/nova/instances/x/disk", "/var/lib/libvirt/qemu/b")
    (finding,) = _found(_host("n1", unowned=left, misowned=("/var/lib/nova/keys/a",)))
    assert finding.code == "identity.unowned-files"
    assert [change.step for change in finding.changes] == [SetMode(path="/var/lib/nova/keys/a", owner="nova:nova")]


def test_files_of_others_below_nova_are_found() -> None:
    (finding,) = _found(_host("n1", misowned=("/var/lib/nova/tmp",)))
    assert (finding.code, len(finding.changes)) == ("identity.misowned-files", 1)


def test_aligned_hosts_have_nothing_left_to_align() -> None:
    hosts = (_host("n1", nova=(64055, 104), qemu=(108, 113)), _host("n2", nova=(110, 111)), _host("n3"))
    targets = {finding.host: _align(finding) for finding in _found(*hosts)}

    def aligned(host: HostFacts) -> HostFacts:
        assert host.identity
        step = targets.get(host.host, AlignIds())
        groups = {group.gid: step.groups.get(group.name, group.gid) for group in host.identity.groups}
        users = tuple(
            user.model_copy(update={"uid": step.users.get(user.name, user.uid), "gid": groups[user.gid]})
            for user in host.identity.users
        )
        new = tuple(group.model_copy(update={"gid": groups[group.gid]}) for group in host.identity.groups)
        return host.model_copy(update={"identity": IdentityFact(users=users, groups=new)})

    assert _found(*(aligned(host) for host in hosts)) == ()
