from __future__ import annotations

from typing import Any

import pytest
from tests.readiness.storage_hosts import NFS, NFS_LINE, PATH, cluster, codes, folder, host, with_files
from tests.readiness.storage_hosts import found as judged

from hotfoot.readiness import nfs_client
from hotfoot.readiness.change import Install, Mount
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.finding import Finding, Severity

DECLARED = cluster({"path": PATH, "type": "nfs", "source": "n1:/srv/nova"})


def client(fstab: str = NFS_LINE, **other: Any) -> HostFacts:
    return host("n1", **{"mounts": [NFS], "files": {"/etc/fstab": fstab}, "packages": ["nfs-common"], **other})


def found(one: HostFacts) -> list[Finding]:
    return judged(nfs_client.TOPIC, DECLARED, one)


def in_effect(option: str) -> Any:
    return NFS.model_copy(update={"options": f"{NFS.options},{option}"})


def test_a_client_that_is_right_has_no_finding() -> None:
    assert found(client()) == []
    defaults = client(f"n1:/srv/nova {PATH} nfs defaults,nofail 0 0\n")  # hard, TCP and the newest version are those
    assert found(defaults) == []


def test_not_installed() -> None:
    (finding,) = found(client(packages=[]))
    assert finding.code == "nfs_client.not-installed"
    assert [change.step for change in finding.changes] == [Install(packages=("nfs-common",))]
    (red_hat,) = found(host("n1", os="rhel", mounts=[NFS]))
    assert "nfs-utils" in red_hat.evidence


@pytest.mark.parametrize(
    ("option", "code", "severity"),
    [
        ("soft", "soft", Severity.DANGEROUS),
        ("softerr", "soft", Severity.DANGEROUS),
        ("nolock", "local-locks", Severity.DANGEROUS),
        ("local_lock=all", "local-locks", Severity.DANGEROUS),
        ("udp", "udp", Severity.DANGEROUS),
        ("proto=udp", "udp", Severity.DANGEROUS),
        ("vers=3", "old-version", Severity.ADVICE),
        ("nfsvers=3.0", "old-version", Severity.ADVICE),
    ],
)
def test_options_in_fstab_and_in_effect(option: str, code: str, severity: Severity) -> None:
    written = client(NFS_LINE.replace("vers=4.2,", f"{option},"))
    (finding,) = findings = found(written)
    assert (finding.code, finding.severity) == (f"nfs_client.{code}", severity)
    assert NFS_LINE.strip() in [edit.line for change in finding.changes for edit in change.step.edits]  # type: ignore[union-attr]
    assert found(*with_files(findings, written)) == []

    (finding,) = found(client(mounts=[in_effect(option)]))
    assert finding.code == f"nfs_client.{code}"
    assert [change.step for change in finding.changes] == [Mount(path=PATH, again=True)]


def test_nothing_is_unmounted_under_instances() -> None:
    mount = in_effect("soft")
    (finding,) = found(client(mounts=[mount], folders=[folder(mount=mount, open_by=("web1",))]))
    assert finding.changes == ()
    assert "drained of web1" in finding.remedy


def test_the_entry_of_the_old_guides() -> None:
    one = client(f"n1:/srv/nova {PATH} nfs auto 0 0\n")
    findings = found(one)
    assert codes(findings) == ["no-nofail n1"]
    one = client(f"n1:/srv/nova {PATH} auto defaults 0 0\n")
    findings = found(one)
    assert codes(findings) == ["type-auto n1"]
    assert with_files(findings, one)[0].text("/etc/fstab") == NFS_LINE


def test_a_mount_unit_is_corrected_in_its_own_file() -> None:
    path = "/etc/systemd/system/var-lib-nova-instances.mount"
    unit = f"[Unit]\nDescription=x\n\n[Mount]\nWhat=n1:/srv/nova\nWhere={PATH}\nType=nfs4\nOptions=soft,vers=4.2\n"
    one = client(files={path: unit})
    findings = found(one)
    assert codes(findings) == ["soft n1"]
    (after,) = with_files(findings, one)
    assert "Options=vers=4.2,proto=tcp,hard,noatime,_netdev\n" in after.text(path).replace(" = ", "=")
    assert found(after) == []


def test_a_kernel_without_nfs() -> None:
    bare: Any = {"mounts": [], "storage": {"kernel_filesystems": ("ext4",)}}
    (finding,) = found(client(**bare))
    assert finding.code == "nfs_client.kernel"
    assert found(client(**bare, files={})) == []  # nobody has tried to mount yet, which would load it
