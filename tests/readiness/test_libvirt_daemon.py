import pytest
from tests.readiness.libvirt_hosts import cluster, codes, host, identity, judged, mended, recorded, unit, units

from hotfoot.readiness.change import Command, EditFile, Install, Refresh, SetUnit
from hotfoot.readiness.facts import LibvirtFact, Listener, OsFact, UnitFact, UserFact
from hotfoot.readiness.finding import Severity
from hotfoot.readiness.libvirt_daemon import TOPIC

TLS = cluster()
CONF = "/etc/libvirt/libvirtd.conf"


def conf(*lines: str) -> dict[str, str]:
    return {CONF: recorded("debian13-libvirtd.conf") + "\n".join(lines) + "\n"}


def test_a_right_host_has_nothing_wrong() -> None:
    assert judged(TOPIC, TLS, host(), host("n2")) == ()


def test_a_right_modular_host_has_nothing_wrong() -> None:
    modular = host(
        os=OsFact(id="rhel", id_like="fedora", version="9.4", arch="x86_64"),
        libvirt=LibvirtFact(answers=True, modular=True),
        units={
            each: unit(each, "active", "enabled")
            for each in ("virtqemud.socket", "virtproxyd.socket", "virtproxyd-tls.socket", "virtqemud.service")
        },
    )
    assert judged(TOPIC, TLS, modular) == ()


@pytest.mark.parametrize(
    ("system", "packages"),
    [
        (OsFact(id="ubuntu", id_like="debian", arch="x86_64"), ("libvirt-daemon-system", "libvirt-clients")),
        (OsFact(id="rhel", id_like="fedora", arch="x86_64"), ("libvirt-daemon-kvm", "libvirt-client")),
    ],
)
def test_libvirt_is_installed_where_it_is_missing(system: OsFact, packages: tuple[str, ...]) -> None:
    none = {name: UnitFact(name=name, load="not-found", active="inactive") for name in units()}
    (found,) = judged(TOPIC, TLS, host(os=system, units=none, libvirt=LibvirtFact(answers=False), listeners=()))
    assert found.code == "libvirt_daemon.missing"
    assert [change.step for change in found.changes] == [Install(packages=packages)]


def test_a_silent_libvirt_is_started() -> None:
    silent = host(libvirt=LibvirtFact(answers=False, problem="Failed to connect socket"))
    (found,) = judged(TOPIC, TLS, silent)
    assert (found.code, found.severity) == ("libvirt_daemon.silent", Severity.BLOCKS)
    assert found.evidence == "Failed to connect socket"
    enable, start = (change.step for change in found.changes)
    assert enable == SetUnit(unit="libvirtd.socket", enabled=True)
    assert isinstance(start, Command)
    assert "reset-failed" in start.argv[2]


def test_what_is_silent_for_want_of_a_client_is_not_restarted() -> None:
    blind = host(libvirt=LibvirtFact(answers=False), packages={"libvirt-daemon-system": "11.3.0"})
    (found,) = judged(TOPIC, TLS, blind)
    assert found.code == "libvirt_daemon.no-client"
    assert [change.step for change in found.changes] == [Install(packages=("libvirt-clients",))]


def test_tls_is_opened_and_the_service_stopped_before() -> None:
    (found,) = judged(TOPIC, TLS, host(units=units(tls="inactive disabled"), listeners=()))
    assert found.code == "libvirt_daemon.not-listening"
    enable, listen = (change.step for change in found.changes)
    assert enable == SetUnit(unit="libvirtd-tls.socket", enabled=True)
    assert isinstance(listen, Command)
    script = listen.argv[2]
    assert script.index("stop libvirtd.service") < script.index("start libvirtd-tls.socket")
    assert listen.undo


def test_a_modular_host_listens_through_virtproxyd() -> None:
    modular = host(
        libvirt=LibvirtFact(answers=True, modular=True),
        units={"virtproxyd-tls.socket": unit("virtproxyd-tls.socket", "inactive", "disabled")},
        listeners=(),
    )
    (found,) = judged(TOPIC, TLS, modular)
    listen = found.changes[-1].step
    assert isinstance(listen, Command)
    assert "libvirtd" not in " ".join(listen.argv)
    assert "virtproxyd-tls.socket" in listen.argv[2]


def test_only_loopback_is_not_listening() -> None:
    only = host(listeners=(Listener(address="127.0.0.1", port=16514),))
    assert codes(judged(TOPIC, TLS, only)) == ["not-listening n1"]


def test_libvirt_that_no_boot_starts_is_enabled() -> None:
    disabled = {name: unit(name, "active", "disabled") for name in ("libvirtd.service", "libvirtd.socket")}
    before = host(units=units() | disabled)
    found = judged(TOPIC, TLS, before)
    assert codes(found) == ["not-at-boot n1"]
    assert judged(TOPIC, TLS, *mended(found, [before])) == ()


def test_tls_that_ends_with_a_reboot_is_enabled() -> None:
    before = host(units=units(tls="active disabled"))
    found = judged(TOPIC, TLS, before)
    assert codes(found) == ["listens-until-reboot n1"]
    assert judged(TOPIC, TLS, *mended(found, [before])) == ()


def test_plain_tcp_that_nobody_asked_for_is_closed() -> None:
    opened = host(units=units(tcp="active enabled"), files=conf('auth_tcp = "none"'))
    opened = opened.model_copy(
        update={"listeners": (*(opened.listeners or ()), Listener(address="0.0.0.0", port=16509))}
    )
    found = judged(TOPIC, TLS, opened)
    assert codes(found) == ["plain-tcp-open n1", "auth-tcp-none n1"]
    assert {each.severity for each in found} == {Severity.DANGEROUS}
    (after,) = mended(found, [opened])
    assert judged(TOPIC, TLS, after.model_copy(update={"listeners": host().listeners})) == ()


def test_plain_tcp_that_was_asked_for_is_set_up_and_still_dangerous() -> None:
    asked = cluster(libvirt={"transport": "tcp"})
    found = judged(TOPIC, asked, host(units=units(tls="inactive disabled"), listeners=()))
    assert codes(found) == ["not-listening n1", "plain-tcp-asked n1"]
    assert found[1].severity is Severity.DANGEROUS


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("/etc/default/libvirtd", 'LIBVIRTD_ARGS="--listen"', 'LIBVIRTD_ARGS=""'),
        ("/etc/sysconfig/libvirtd", 'LIBVIRTD_ARGS="--timeout 120 --listen"', 'LIBVIRTD_ARGS="--timeout 120"'),
        ("/etc/default/libvirt-bin", 'libvirtd_opts="-d -l"', 'libvirtd_opts="-d"'),
        ("/etc/default/libvirtd", 'libvirtd_opts="-dl"', 'libvirtd_opts="-d"'),
        (
            "/etc/systemd/system/libvirtd.service.d/listen.conf",
            "ExecStart=/usr/sbin/libvirtd --listen --timeout 60",
            "ExecStart=/usr/sbin/libvirtd --timeout 60",
        ),
    ],
)
def test_the_listen_argument_of_the_guides_is_taken_out(path: str, before: str, after: str) -> None:
    wrong = host(files={path: f"# kept\n{before}\n#LIBVIRTD_ARGS=--listen\n"})
    found = judged(TOPIC, TLS, wrong)
    assert codes(found) == ["listen-argument n1"]
    assert found[0].severity is Severity.BLOCKS
    (right,) = mended(found, [wrong])
    assert right.text(path) == f"# kept\n{after}\n#LIBVIRTD_ARGS=--listen\n"
    assert judged(TOPIC, TLS, right) == ()


def test_arguments_of_other_programs_are_their_own() -> None:
    other = {"/etc/systemd/system/other.service.d/a.conf": "[Service]\nExecStart=/usr/bin/other -l\n"}
    assert judged(TOPIC, TLS, host(files=other)) == ()


def test_the_old_way_on_purpose_is_left_alone() -> None:
    masked = {
        **units(tls="inactive disabled"),
        "libvirtd.socket": unit("libvirtd.socket", "inactive", "masked", "masked"),
    }
    listens = host(
        units=masked, files={"/etc/default/libvirtd": 'LIBVIRTD_ARGS="--listen"\n', **conf("listen_tls = 1")}
    )
    assert judged(TOPIC, TLS, listens) == ()


def test_settings_of_the_guides_that_do_nothing_are_named_and_go() -> None:
    wrong = host(files=conf("listen_tls = 0", "listen_tcp = 1", 'listen_addr = "10.0.0.1"'))
    (found,) = judged(TOPIC, TLS, wrong)
    assert (found.code, found.severity) == ("libvirt_daemon.ignored-settings", Severity.ADVICE)
    assert "listen_tcp = 1" in found.evidence
    # Nothing reads them: no daemon is restarted for it.
    assert [type(change.step) for change in found.changes] == [EditFile]
    (right,) = mended([found], [wrong])
    assert right.text(CONF) == recorded("debian13-libvirtd.conf")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("tls_no_verify_certificate = 1", "clients-not-verified"),
        ('auth_tcp = "none"', "auth-tcp-none"),
        ('auth_unix_rw = "none"', "any-user-is-root"),
    ],
)
def test_doors_left_open_are_closed(line: str, code: str) -> None:
    wrong = host(files=conf(line))
    found = judged(TOPIC, TLS, wrong)
    assert codes(found) == [f"{code} n1"]
    assert found[0].severity is Severity.DANGEROUS
    assert Refresh(unit="libvirtd.service") in [change.step for change in found[0].changes]
    assert judged(TOPIC, TLS, *mended(found, [wrong])) == ()


def test_certificates_in_other_places_are_remarked() -> None:
    usual = 'cert_file = "/etc/pki/libvirt/servercert.pem"'
    (found,) = judged(TOPIC, TLS, host(files=conf(usual, 'key_file = "/etc/ssl/private/n1.pem"')))
    assert (found.code, found.severity) == ("libvirt_daemon.certificates-elsewhere", Severity.ADVICE)
    assert "cert_file" not in found.evidence


def test_no_question_at_a_socket_for_the_group_only_is_right() -> None:
    grouped = host(files=conf('auth_unix_rw = "none"'))
    socket = grouped.paths["/run/libvirt/libvirt-sock"].model_copy(update={"mode": 0o770})
    assert judged(TOPIC, TLS, grouped.model_copy(update={"paths": {socket.path: socket}})) == ()


@pytest.mark.parametrize(
    ("line", "code", "severity"),
    [
        ("listen_tls 0", "unreadable", Severity.BLOCKS),
        ('max_clients = "5"', "wrong-type", Severity.BLOCKS),
        ('auth_unixrw = "none"', "unknown-setting", Severity.DANGEROUS),
        ("zzz = 1", "unknown-setting", Severity.ADVICE),
    ],
)
def test_mistakes_in_the_file_are_found(line: str, code: str, severity: Severity) -> None:
    (found,) = judged(TOPIC, TLS, host(files=conf(line)))
    assert (found.code, found.severity) == (f"libvirt_daemon.{code}", severity)
    assert line in found.evidence


def test_the_migration_user_must_get_at_libvirt() -> None:
    over_ssh = cluster(libvirt={"transport": "ssh"}, migration={"user": "nova"})
    nova = (*identity().users, UserFact(name="nova", uid=998, gid=998))
    out = host(identity=identity(users=nova))
    (found,) = judged(TOPIC, over_ssh, out)
    assert found.code == "libvirt_daemon.user-kept-out"
    groups = tuple(
        each.model_copy(update={"members": ("nova",)}) if each.name == "libvirt" else each for each in identity().groups
    )
    assert judged(TOPIC, over_ssh, host(identity=identity(users=nova, groups=groups))) == ()


def test_nothing_is_claimed_of_what_is_not_known() -> None:
    bare = host(libvirt=None, units={}, listeners=None, identity=None, paths={}, files={})
    assert judged(TOPIC, TLS, bare.model_copy(update={"files": {}})) == ()
