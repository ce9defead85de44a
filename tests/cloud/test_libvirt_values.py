"""URIs, job statistics, orders: libvirt's terms on one side, ours on the other."""

from __future__ import annotations

from dataclasses import replace

import libvirt
import pytest

from hotfoot.cloud.host_files import answer, question
from hotfoot.cloud.libvirt_job import sample_of, totals_of
from hotfoot.cloud.libvirt_order import flags, parameters
from hotfoot.cloud.libvirt_uri import Endpoint, controller_uri, peer_uri, stream_uri
from hotfoot.cloud.neighbours import addresses_of
from hotfoot.migration.options import MigrationOptions, Mode, Order
from hotfoot.migration.policy import Throttle
from hotfoot.migration.sample import Phase


def _order(
    options: MigrationOptions | None = None,
    mode: Mode = Mode.LIVE,
    copied: tuple[str, ...] = (),
    *,
    persistent: bool = True,
    stream: str | None = None,
) -> Order:
    return Order(
        uuid="u", name="web1", source="n1", destination="n2", mode=mode, persistent=persistent,
        options=options or MigrationOptions(), copied_disks=copied, stream_address=stream,
    )  # fmt: skip


def test_each_transport_has_its_uri() -> None:
    tls = Endpoint(name="n1", address="10.0.0.1", transport="tls", pki="/etc/a b")
    ssh = Endpoint(name="n1", address="fd00::1", transport="ssh", user="root", port=2222, ssh_command="/run/x/ssh")
    assert controller_uri(tls) == "qemu+tls://10.0.0.1/system?pkipath=/etc/a%20b"
    assert controller_uri(ssh) == "qemu+ssh://root@[fd00::1]:2222/system?no_tty=1&command=/run/x/ssh"
    assert peer_uri(tls) == "qemu+tls://10.0.0.1/system"
    assert peer_uri(ssh) == "qemu+ssh://root@[fd00::1]:2222/system?no_tty=1"
    admin = Endpoint(name="n1", address="a", transport="ssh", user="admin", peer_user="root")
    assert (controller_uri(admin), peer_uri(admin)) == (
        "qemu+ssh://admin@a/system?no_tty=1",
        "qemu+ssh://root@a/system?no_tty=1",
    )
    assert controller_uri(Endpoint(name="a", address="a", transport="tcp", port=1)) == "qemu+tcp://a:1/system"
    assert stream_uri("fd00::2") == "tcp://[fd00::2]"


def test_no_order_is_ever_unsafe_and_a_transient_instance_leaves_no_definition() -> None:
    everything = MigrationOptions(native_tls=True, parallel=4, compress=True, bandwidth_bytes_per_s=1)
    for order in (_order(), _order(everything, Mode.BLOCK, ("vda",)), _order(persistent=False)):
        assert not flags(order) & libvirt.VIR_MIGRATE_UNSAFE
        assert flags(order) & libvirt.VIR_MIGRATE_LIVE
        assert flags(order) & libvirt.VIR_MIGRATE_PEER2PEER
    assert not flags(_order(persistent=False)) & libvirt.VIR_MIGRATE_PERSIST_DEST


def test_post_copy_and_throttling_are_asked_for_only_where_the_order_has_them() -> None:
    plain = _order()
    assert not flags(plain) & (libvirt.VIR_MIGRATE_POSTCOPY | libvirt.VIR_MIGRATE_AUTO_CONVERGE)
    able = replace(plain, post_copy=True, throttle=Throttle(first=20, rung=15, top=50))
    assert flags(able) & libvirt.VIR_MIGRATE_POSTCOPY
    assert flags(able) & libvirt.VIR_MIGRATE_AUTO_CONVERGE
    assert parameters(able) == {"auto_converge.initial": 20, "auto_converge.increment": 15}


def test_a_block_order_names_the_disks_that_are_copied() -> None:
    order = _order(mode=Mode.BLOCK, copied=("vdb",), stream="10.0.0.2")
    assert flags(order) & libvirt.VIR_MIGRATE_NON_SHARED_DISK
    assert parameters(order) == {"migrate_disks": ["vdb"], "migrate_uri": "tcp://10.0.0.2"}


@pytest.mark.parametrize(("parallel", "method"), [(0, "xbzrle"), (4, "zstd")])
def test_the_compression_fits_the_connections(parallel: int, method: str) -> None:
    order = _order(MigrationOptions(compress=True, parallel=parallel))
    assert parameters(order)["compression"] == method
    assert bool(flags(order) & libvirt.VIR_MIGRATE_PARALLEL) == bool(parallel)


def test_a_small_bandwidth_never_becomes_no_limit() -> None:
    order = _order(MigrationOptions(bandwidth_bytes_per_s=125_000))
    assert parameters(order)["bandwidth"] == 1
    assert any("1 MiB/s (rounded up)" in words for words in order.in_words())


def test_samples_are_in_bytes_and_unknown_is_not_zero() -> None:
    stats = {
        "type": 2, "operation": 5, "memory_total": 1000, "memory_processed": 400, "memory_remaining": 600,
        "memory_iteration": 2, "memory_dirty_rate": 10, "memory_page_size": 4096, "memory_bps": 77, "time_elapsed": 5,
    }  # fmt: skip
    sample = sample_of(stats, 1.0)
    assert sample is not None
    assert (sample.phase, sample.dirty_rate_bytes_per_s, sample.downtime_ms) == (
        Phase.COPYING_MEMORY,
        40960,
        None,
    )
    first = sample_of({**stats, "memory_iteration": 1, "memory_dirty_rate": 0, "downtime": 300}, 1.0)
    assert first is not None
    assert first.dirty_rate_bytes_per_s is first.downtime_ms is None


def test_only_a_migration_that_leaves_this_host_is_a_sample() -> None:
    assert sample_of({"type": 0}, 1.0) is None
    assert sample_of({"type": 2, "operation": 4}, 1.0) is None
    assert sample_of({"type": 3, "operation": 5}, 1.0) is None


@pytest.mark.parametrize(
    ("stats", "phase"),
    [
        ({}, Phase.PREPARING),
        ({"disk_total": 9, "disk_processed": 3, "disk_remaining": 6}, Phase.COPYING_DISKS),
        ({"memory_total": 9, "memory_processed": 9, "memory_remaining": 0}, Phase.SWITCHING_OVER),
        ({"memory_total": 9, "memory_processed": 9, "memory_postcopy_requests": 3}, Phase.POST_COPY),
    ],
)
def test_the_phase_is_read_from_the_figures(stats: dict[str, int], phase: Phase) -> None:
    sample = sample_of({"type": 2, "operation": 5, **stats}, 1.0)
    assert sample is not None
    assert sample.phase is phase


def test_totals_of_a_completed_job() -> None:
    totals = totals_of({"downtime": 91, "memory_processed": 100, "disk_processed": 20, "memory_iteration": 3})
    assert (totals.downtime_ms, totals.transferred_bytes, totals.iterations) == (91, 120, 3)
    assert totals_of({}).transferred_bytes is None


def test_a_host_answers_about_files_and_devices(tmp_path: object) -> None:
    text = (
        "Welcome to n1\n"
        "file\t/a b\tpresent\t42\t1024\tfuse.glusterfs\tn1:/vms\t4096\t-\n"
        "file\t/gone\tmissing\t0\t0\text4\t/dev/sda1\t8192\t-\n"
        "nodevice\tbr7\naddress\t10.0.0.1\n"
    )
    said = answer(text)
    assert (said.files["/a b"].inode, said.files["/a b"].fs_type) == (42, "fuse.glusterfs")
    assert not said.files["/gone"].exists
    assert said.files["/gone"].free_bytes == 8192
    assert (said.missing_devices, said.addresses) == (("br7",), ("10.0.0.1",))


def test_paths_cannot_become_commands() -> None:
    assert "see '/a; rm -rf /'" in question(["/a; rm -rf /"], [])


def test_the_arp_table_knows_a_card() -> None:
    table = (
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "10.88.0.101      0x1         0x2         52:54:00:aa:00:65     *        lab\n"
        "10.88.0.102      0x1         0x0         52:54:00:aa:00:66     *        lab\n"
    )
    assert addresses_of(["52:54:00:AA:00:65", "52:54:00:aa:00:66"], table) == ("10.88.0.101",)
