from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.readiness.storage_hosts import host

from hotfoot.cluster import Storage
from hotfoot.readiness.edit import apply
from hotfoot.readiness.fstab import edit_for, entries_for, line_for, parse, render

FSTAB = """\
# /etc/fstab
UUID=1  /  ext4  errors=remount-ro 0 1

  nas:/srv/my\\040data\t/mnt/my\\040data/ nfs4 hard,_netdev
#nas:/old /var/lib/nova/instances nfs auto 0 0
proc /proc proc
short line
"""
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]) | st.sampled_from(" \t\\#"), min_size=1)
PATHS = WORDS.map(lambda word: f"/{word}")


def test_what_it_holds() -> None:
    root, nas, proc = parse(FSTAB)
    assert (root.path, root.options) == ("/", ("errors=remount-ro",))
    assert (nas.source, nas.path, nas.fs_type) == ("nas:/srv/my data", "/mnt/my data", "nfs4")
    assert (nas.option("hard"), nas.option("soft")) == ("", None)
    assert proc.options == ("defaults",)


@given(WORDS.filter(lambda word: not word.startswith("#")), PATHS, st.sampled_from(["nfs4", "ceph"]))
def test_what_is_written_is_read_back(source: str, path: str, fs_type: str) -> None:
    (entry,) = parse(render(source, path, fs_type, ("hard", "_netdev")))
    assert (entry.source, entry.path) == (source, path.rstrip("/") or "/")
    assert (entry.fs_type, entry.options) == (fs_type, ("hard", "_netdev"))


@given(PATHS.filter(lambda path: not path.endswith("/")), st.lists(st.sampled_from(FSTAB.splitlines())))
def test_the_edit_makes_it_the_only_entry_and_leaves_other_lines(path: str, others: list[str]) -> None:
    line = render("nas:/x", path, "nfs4", ("hard",))
    before = "\n".join([*others, render("old:/x", path, "nfs", ("soft",)), ""])
    after = apply(before, [edit_for(path, line)])
    assert [entry.text for entry in parse(after) if entry.path == path] == [line]
    assert [each for each in after.splitlines() if each != line] == others
    assert apply(after, [edit_for(path, line)]) == after


def test_a_commented_line_is_left() -> None:
    after = apply(FSTAB, [edit_for("/var/lib/nova/instances", "new /var/lib/nova/instances nfs4 hard 0 0")])
    assert after == FSTAB + "new /var/lib/nova/instances nfs4 hard 0 0\n"


def test_mount_units_count_too() -> None:
    unit = "/etc/systemd/system/var-lib-nova-instances.mount"
    content = "[Mount]\nWhat=nas:/srv\nWhere=/var/lib/nova/instances\nType=nfs4\nOptions=hard,vers=4.2\n"
    (entry,) = entries_for(host("n1", files={unit: content}), "/var/lib/nova/instances")
    assert (entry.source, entry.options, entry.text, entry.unit) == ("nas:/srv", ("hard", "vers=4.2"), unit, True)
    assert entries_for(host("n1", files={unit: "no INI file"}), "/var/lib/nova/instances") == ()


def test_glusterfs_asks_the_own_daemon_or_else_a_server_that_has_one() -> None:
    storage = Storage(path="/i", type="glusterfs", servers=("n1", "n2", "n3"))
    assert (
        line_for(storage, "n2", "localhost:/instances")
        == "localhost:/instances /i glusterfs defaults,_netdev,nofail,x-systemd.requires=glusterd.service 0 0"
    )
    assert (
        line_for(storage, "n4", "localhost:/instances")
        == "n1:/instances /i glusterfs defaults,_netdev,nofail,backup-volfile-servers=n2:n3 0 0"
    )
    elsewhere = Storage(path="/i", type="glusterfs", source="nas:/vol")
    assert line_for(elsewhere, "n1", "nas:/vol") == "nas:/vol /i glusterfs defaults,_netdev,nofail 0 0"
