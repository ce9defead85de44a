import pytest
from tests.readiness.libvirt_hosts import cluster, codes, host, judged, mended, recorded, units

from hotfoot.readiness import libvirt_daemon, qemu_conf
from hotfoot.readiness.change import EditFile, Refresh
from hotfoot.readiness.facts import Listener

PLAIN = cluster()
CONF = "/etc/libvirt/qemu.conf"
REAL = recorded("debian13-qemu.conf")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("vnc_listen = 127.0.0.1", 'vnc_listen = "127.0.0.1"'),
        ('vnc_listen "127.0.0.1"', 'vnc_listen = "127.0.0.1"'),
        ('user = "libvirt-qemu', 'user = "libvirt-qemu"'),
        ("user: libvirt-qemu", 'user = "libvirt-qemu"'),
        ('dynamic_ownership = "1"', "dynamic_ownership = 1"),
        ("dynamic_ownership = yes", "dynamic_ownership = 1"),
        ('max_queued = "5"', "max_queued = 5"),
        ('namespaces = "mount"', 'namespaces = [ "mount" ]'),
        ("swtpm_user = 118", 'swtpm_user = "118"'),
    ],
)
def test_what_is_meant_beyond_doubt_is_mended(wrong: str, right: str) -> None:
    before = host(files={CONF: f"{REAL}{wrong}\n# kept\n"})
    found = judged(qemu_conf.TOPIC, PLAIN, before)
    assert len(found) == 1
    assert Refresh(unit="libvirtd.service") in [change.step for change in found[0].changes]
    (after,) = mended(found, [before])
    assert after.text(CONF) == f"{REAL}{right}\n# kept\n"
    assert judged(qemu_conf.TOPIC, PLAIN, after) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        'namespaces = [ "mount"',
        "dynamic_ownership = 2",
        "dynamic_ownership = perhaps",
        "what is this",
        'user = "a" "b"',
        'security_driver = [ "apparmor", ]]',
    ],
)
def test_what_may_mean_several_things_is_left_to_a_person(wrong: str) -> None:
    (found,) = judged(qemu_conf.TOPIC, PLAIN, host(files={CONF: f"{REAL}{wrong}\n"}))
    assert found.changes == ()


def test_a_daemon_that_would_not_come_back_is_not_restarted() -> None:
    before = host(files={CONF: f'{REAL}dynamic_ownership = 0\nuser = "a" "b"\n'})
    found = judged(qemu_conf.TOPIC, PLAIN, before)
    assert codes(found) == ["unreadable n1", "owners-not-set n1"]
    assert [type(change.step) for each in found for change in each.changes] == [EditFile]
    silent = before.model_copy(
        update={
            "units": units(tls="inactive disabled", tcp="active enabled"),
            "listeners": (Listener(address="::", port=16509),),
        }
    )
    found = judged(libvirt_daemon.TOPIC, PLAIN, silent)
    assert codes(found) == ["not-listening n1", "plain-tcp-open n1"]
    assert [each.changes for each in found] == [(), ()]


def test_of_two_mistakes_the_daemon_is_restarted_only_when_both_are_mended() -> None:
    before = host(files={CONF: f'{REAL}dynamic_ownership = "1"\nnamespaces = [ "mount"\n'})
    found = judged(qemu_conf.TOPIC, PLAIN, before)
    assert codes(found) == ["unreadable n1", "wrong-type n1"]
    assert [type(change.step) for each in found for change in each.changes] == [EditFile]
