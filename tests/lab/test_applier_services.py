"""Services, mounts, packages and certificates changed on real hosts, without harm to libvirt, SSH and instances."""

from __future__ import annotations

from typing import Literal

from tests.lab.workbench import SLOW, Bench, states

from hotfoot.readiness.change import (
    AlignIds,
    Install,
    MakeCertificate,
    Mount,
    Phase,
    PutFile,
    Refresh,
    SetUnit,
)


async def test_libvirt_never_stays_broken_by_a_typo(whole: Bench) -> None:
    bench = whole
    for path in ("/etc/libvirt/libvirtd.conf", "/etc/libvirt/qemu.conf"):
        text = bench.sh(f"cat {path}")
        put = PutFile(path=path, content=text + 'max_clients = "many\n')
        fine = PutFile(path="/etc/x", content="x")
        report = await bench.do(
            bench.change(fine, phase=Phase.NAMES),
            bench.change(put, phase=Phase.LIBVIRT),
            bench.change(Refresh(unit="libvirtd"), phase=Phase.LIBVIRT),
        )
        assert states(report) == ["done", "done", "failed"]
        assert f"{path} was put back; libvirt answers again" in report.steps[2].problem
        assert bench.sh(f"cat {path}") == text
        assert "/etc/x" in bench.sh("ls /etc/x")
        bench.sh("virsh -c qemu:///system list")
        bench.sh("ss -ltn | grep -q :16514")
        await bench.all_back()


async def test_ssh_never_stays_broken_by_a_typo(whole: Bench) -> None:
    bench = whole
    put = PutFile(path="/etc/ssh/sshd_config.d/x.conf", content="Nonsense yes\n")
    report = await bench.do(bench.change(put), bench.change(Refresh(unit="ssh", how="reload")))
    assert states(report) == ["done", "failed"]
    assert "/etc/ssh/sshd_config.d/x.conf was put back, and sshd was not touched" in report.steps[1].problem
    put = PutFile(path="/etc/ssh/sshd_config.d/x.conf", content="ListenAddress 192.0.2.1\n")
    report = await bench.do(bench.change(put), bench.change(Refresh(unit="ssh", how="restart")))
    assert states(report) == ["done", "failed"]
    assert "was put back; sshd answers again" in report.steps[1].problem
    assert bench.sh("ls /etc/ssh/sshd_config.d") == "hotfoot.conf\n"
    assert (await bench.access.run(bench.cluster.hosts[0], ["true"])).status == 0


async def test_certificates_of_the_clusters_authority(whole: Bench) -> None:
    bench = whole
    places: tuple[tuple[Literal["libvirt", "qemu"], str, int], ...] = (
        ("libvirt", "root:root", 0o600),
        ("qemu", "root:libvirt-qemu", 0o640),
    )
    steps = [
        bench.change(
            MakeCertificate(place=place, names=(host, f"10.0.0.{i}"), key_owner=owner, key_mode=mode),
            host,
            phase=Phase.TRUST,
        )
        for i, host in enumerate(("n1", "n2"))
        for place, owner, mode in places
    ]
    steps += [bench.change(Refresh(unit="libvirtd"), host, phase=Phase.LIBVIRT) for host in ("n1", "n2")]
    assert states(await bench.well(*steps)) == ["done"] * 6
    assert bench.sh("virsh -c qemu+tls://n2/system hostname").strip() == "n2"
    found = bench.sh("stat -c '%a %U:%G' /etc/pki/qemu/server-key.pem /etc/pki/libvirt/private/serverkey.pem")
    assert found == "640 root:libvirt-qemu\n600 root:root\n"
    assert states(await bench.well(*steps)) == ["unchanged"] * 6
    bench.sh("chmod 644 /etc/pki/libvirt/private/clientkey.pem")
    assert states(await bench.well(*steps))[:2] == ["done", "unchanged"]
    bench.sh("cp /etc/pki/qemu/client-key.pem /etc/pki/libvirt/private/clientkey.pem")
    assert states(await bench.well(*steps))[:2] == ["done", "unchanged"]
    assert "PRIVATE" not in bench.sh("cat /var/lib/hotfoot/runs/*/journal.jsonl")
    await bench.all_back(force=True)  # over the key that was broken above, too
    assert "PRIVATE" not in bench.sh("grep -r PRIVATE /var/lib/hotfoot || true")
    assert bench.sh("virsh -c qemu+tls://n2/system hostname").strip() == "n2"


async def test_a_mount_is_made_again_and_never_under_open_files(whole: Bench) -> None:
    bench = whole
    bench.sh("mkdir -p /srv/m")
    fstab = bench.sh("cat /etc/fstab")
    put = PutFile(path="/etc/fstab", content=fstab + "none /srv/m tmpfs size=64k 0 0\n")
    await bench.well(bench.change(put, phase=Phase.STORAGE_SERVERS), bench.change(Mount(path="/srv/m")))
    assert states(await bench.well(bench.change(Mount(path="/srv/m", again=True)))) == ["unchanged"]
    bench.sh("sed -i 's/size=64k/size=128k/' /etc/fstab; systemctl daemon-reload")
    bench.sh("touch /srv/m/f; systemd-run --unit=holds sh -c 'exec sleep 1000 < /srv/m/f'; sleep 0.3")
    again = bench.change(Mount(path="/srv/m", again=True))
    report = await bench.do(again)
    assert "files in /srv/m are open in sleep" in report.steps[0].problem
    bench.sh("systemctl stop holds")
    await bench.well(again)
    assert "size=128k" in bench.sh("grep /srv/m /proc/mounts")
    bench.sh("sed -i 's/size=128k/size=64k/' /etc/fstab; systemctl daemon-reload")
    assert (await bench.back()).complete
    assert "size=64k" in bench.sh("grep /srv/m /proc/mounts")
    bench.runs.pop()
    await bench.all_back()
    assert bench.sh("grep /srv/m /proc/mounts || true") == ""
    bench.sh("rmdir /srv/m")


async def test_packages_come_without_starting_anything_and_go_again(bench: Bench) -> None:
    bench.sh(
        "mkdir -p /root/repo/p/DEBIAN /root/repo/q/DEBIAN /root/repo/q/etc; cd /root/repo;"
        "control() { printf 'Package: hf-%s\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x>\\n' $1;"
        " printf 'Description: x\\n'; }; for n in p q; do control $n > $n/DEBIAN/control; done;"
        "echo 'Depends: hf-q' >> p/DEBIAN/control;"
        "echo conf > q/etc/hf-q.conf; echo /etc/hf-q.conf > q/DEBIAN/conffiles;"
        "for n in p q; do dpkg-deb -b $n hf-$n.deb >/dev/null; cat $n/DEBIAN/control; printf 'Filename: ./hf-%s.deb\\n"
        "Size: %s\\nSHA256: %s\\n\\n' $n $(stat -c %s hf-$n.deb) $(sha256sum hf-$n.deb | cut -d' ' -f1);"
        " done > Packages"
    )
    report = await bench.do(bench.change(Install(packages=("hf-p",)), phase=Phase.PACKAGES))
    assert "no package source that this host reaches has hf-p" in report.steps[0].problem
    bench.sh("echo 'deb [trusted=yes] file:/root/repo ./' > /etc/apt/sources.list.d/hf.list")
    install = bench.change(Install(packages=("hf-p",)), phase=Phase.PACKAGES)
    assert states(await bench.well(install)) == ["done"]
    assert (
        bench.sh("dpkg-query -W -f '${Status} ' hf-p hf-q; ls /etc/hf-q.conf; ls /usr/sbin/policy-rc.d || true").count(
            "install ok installed"
        )
        == 2
    )
    assert states(await bench.well(install)) == ["unchanged"]
    await bench.all_back()
    assert bench.sh("dpkg -l | grep -c hf- || true; ls /etc/hf-q.conf 2>/dev/null || true") == "0\n"
    bench.sh("rm -r /root/repo /etc/apt/sources.list.d/hf.list")


async def test_what_would_harm_instances_is_refused(bench: Bench) -> None:
    before = bench.sh("virsh -r list --name")
    assert before.strip() == ""
    bench.lab.lab("instance", "add", "guest", "--memory", "96")
    host = bench.lab.where("guest")
    assert host
    try:
        refused = await bench.do(bench.change(SetUnit(unit="libvirt-guests", running=False), host))
        assert refused.steps[0].state in ("unchanged", "failed")
        refused = await bench.do(bench.change(Refresh(unit="virtlogd"), host), bench.change(SLOW, host))
        for step, words in (
            (SetUnit(unit="virtlogd.service", running=False), "is refused while instances run here (guest)"),
            (Mount(path="/var/lib/nova/instances", again=True), "the instances guest have disks open in"),
            (AlignIds(users={"libvirt-qemu": 950}), "cannot be renumbered while instances run (guest)"),
        ):
            if isinstance(step, Mount):
                bench.sh("sed -i 's/^localhost:.instances/localhost:\\/other/' /etc/fstab", host)
            report = await bench.do(bench.change(step, host), stop_processes=True)
            assert report.steps[0].state == "failed"
            assert words in report.steps[0].problem
            if isinstance(step, Mount):
                bench.sh("sed -i 's/^localhost:.other/localhost:\\/instances/' /etc/fstab", host)
        text = bench.sh("cat /etc/libvirt/libvirtd.conf", host)
        put = bench.change(PutFile(path="/etc/libvirt/libvirtd.conf", content=text + "# more\n"), host)
        await bench.well(put, bench.change(Refresh(unit="libvirtd"), host))
        bench.lab.verify("guest")
        assert (await bench.back()).complete
        bench.lab.verify("guest")
    finally:
        bench.runs.clear()
        bench.lab.lab("instance", "kill", "guest")
