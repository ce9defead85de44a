"""The rows of the matrix: what is broken, and how it is mended."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.lab.fault_matrix.cell import Phase
from tests.lab.fault_matrix.move import Move
from tests.lab.fault_matrix.postgres import Postgres
from tests.lab.fault_matrix.stage import INSTANCE, Around, Stage

from hotfoot.lab import faults, lifecycle
from hotfoot.lab.command import LabError
from hotfoot.lab.spec import INSTANCES_PATH

_CLOCK_JUMP_S = 3600
_HOLD_S = 10.0
_SMALL_DISK = "size=96m,mode=755"


@dataclass(frozen=True, slots=True)
class Scene:
    """What a breakage may break."""

    stage: Stage
    move: Move
    source: str
    destination: str


class Breakage:
    """One way to break something in the middle of a move; ``strike`` once, ``mend`` when the command has ended."""

    name = ""
    phases: tuple[Phase, ...] = tuple(Phase)
    deadly: tuple[Phase, ...] = ()
    """Where the instance cannot outlive it, whatever Hotfoot does."""
    goes_on = False
    """Whether the move is to go on: links and guest are then relaxed."""
    block = False

    @contextlib.contextmanager
    def around(self, stage: Stage, destination: str) -> Iterator[Around]:
        """Set up what the move runs in."""
        yield Around()

    def strike(self, scene: Scene) -> None:
        """Break it."""
        raise NotImplementedError

    def mend(self, scene: Scene) -> None:
        """Mend it."""


class KillHotfoot(Breakage):
    name, goes_on = "kill -9 of Hotfoot", True

    def strike(self, scene: Scene) -> None:
        scene.move.process.kill()


class KillLibvirtd(Breakage):
    def __init__(self, side: str, deadly: tuple[Phase, ...] = ()) -> None:
        self.name, self._side, self.deadly = f"kill -9 of the {side}'s libvirtd", side, deadly

    def strike(self, scene: Scene) -> None:
        spec = scene.stage.spec
        faults.kill_libvirtd(spec, spec.host(getattr(scene, self._side)))


class KillQemu(Breakage):
    def __init__(self, side: str, deadly: tuple[Phase, ...]) -> None:
        self.name, self._side, self.deadly = f"kill -9 of the {side}'s QEMU", side, deadly

    def strike(self, scene: Scene) -> None:
        faults.kill_qemu(scene.stage.spec, INSTANCE, getattr(scene, self._side))


class StarveQemu(Breakage):
    name, deadly = "destination out of memory", (Phase.POST_COPY,)

    def strike(self, scene: Scene) -> None:
        faults.starve_qemu(scene.stage.spec, INSTANCE, scene.destination)


class KillHost(Breakage):
    name = "destination host lost"
    # Where the last bytes had arrived, the guest runs on the destination, and ends with it.
    deadly = (Phase.SWITCH, Phase.POST_COPY)

    def strike(self, scene: Scene) -> None:
        spec = scene.stage.spec
        faults.kill_host(spec, spec.host(scene.destination))

    def mend(self, scene: Scene) -> None:
        lifecycle.start_host(scene.stage.lab.name, scene.destination)


class CutLink(Breakage):
    name = "destination's link cut for good"
    # Where the last bytes had arrived, the guest runs on the destination, cut off from its storage.
    deadly: tuple[Phase, ...] = (Phase.SWITCH, Phase.POST_COPY)

    def strike(self, scene: Scene) -> None:
        spec = scene.stage.spec
        faults.cut_link(spec, spec.host(scene.destination))

    def mend(self, scene: Scene) -> None:
        spec = scene.stage.spec
        faults.mend_link(spec, spec.host(scene.destination))


class CutLinkShortly(CutLink):
    name, deadly, goes_on = "destination's link cut for 10 s", (), True

    def strike(self, scene: Scene) -> None:
        super().strike(scene)
        time.sleep(_HOLD_S)
        super().mend(scene)

    def mend(self, scene: Scene) -> None:
        pass


class StallStorage(Breakage):
    name, goes_on = "storage of both hosts stalled for 10 s", True

    def strike(self, scene: Scene) -> None:
        spec = scene.stage.spec
        hosts = [spec.host(scene.source), spec.host(scene.destination)]
        for host in hosts:
            faults.stall_storage(spec, host)
        try:
            time.sleep(_HOLD_S)
        finally:
            for host in hosts:
                faults.resume_storage(spec, host)


class FillDisk(Breakage):
    name, block = "destination's disk full (block migration)", True
    phases = (Phase.FIRST, Phase.LATER, Phase.SWITCH)

    @contextlib.contextmanager
    def around(self, stage: Stage, destination: str) -> Iterator[Around]:
        stage.on(destination, "mount", "-t", "tmpfs", "-o", _SMALL_DISK, "none", INSTANCES_PATH)
        stage.on(destination, "virsh", "-q", "pool-refresh", "instances")
        yield Around()

    def strike(self, scene: Scene) -> None:
        spec = scene.stage.spec
        faults.fill_disk(spec, spec.host(scene.destination))
        scene.stage.write_disk(per_second=1000)

    def mend(self, scene: Scene) -> None:
        spec = scene.stage.spec
        faults.free_disk(spec, spec.host(scene.destination))
        with contextlib.suppress(LabError):  # where it wrote on, the full disk has made QEMU pause it: as is told then
            scene.stage.on(scene.destination, "virsh", "-q", "resume", INSTANCE)
        scene.stage.write_disk(per_second=5)
        if scene.destination not in scene.stage.active():
            scene.stage.on(scene.destination, "umount", INSTANCES_PATH)
            scene.stage.on(scene.destination, "virsh", "-q", "pool-refresh", "instances")


class FillJournal(Breakage):
    name, goes_on = "journal's disk full", True

    @contextlib.contextmanager
    def around(self, stage: Stage, destination: str) -> Iterator[Around]:
        folder = Path(tempfile.mkdtemp(prefix="hotfoot-matrix-"))
        script = 'mount -t tmpfs -o size=2m none "$1" && echo && exec sleep infinity'
        holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", script, "sh", folder], stdout=subprocess.PIPE)
        try:
            assert holder.stdout
            assert holder.stdout.readline() == b"\n"
            self._fill = Path(f"/proc/{holder.pid}/root{folder}/fill")
            inside = ("nsenter", "--target", str(holder.pid), "--mount", "--")
            yield Around(inside, {"HOTFOOT_JOURNAL": f"sqlite:///{folder}/journal.sqlite3"})
        finally:
            holder.kill()
            holder.communicate()
            folder.rmdir()

    def strike(self, scene: Scene) -> None:
        with self._fill.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def mend(self, scene: Scene) -> None:
        self._fill.unlink()


class KillPostgres(Breakage):
    name, goes_on = "kill -9 of the journal's PostgreSQL", True

    @contextlib.contextmanager
    def around(self, stage: Stage, destination: str) -> Iterator[Around]:
        with Postgres() as self._server:
            yield Around((), {"HOTFOOT_JOURNAL": self._server.url})

    def strike(self, scene: Scene) -> None:
        self._server.kill()

    def mend(self, scene: Scene) -> None:
        self._server.start()


class JumpClock(Breakage):
    goes_on = True

    def __init__(self, words: str, seconds: int) -> None:
        self.name, self._seconds = f"Hotfoot's clock jumps {words}", seconds

    @contextlib.contextmanager
    def around(self, stage: Stage, destination: str) -> Iterator[Around]:
        folder = Path(tempfile.mkdtemp(prefix="hotfoot-matrix-"))
        try:
            shim, self._offset = folder / "clock.so", folder / "offset"
            text = Path(__file__).with_name("clock.c")
            subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", shim, text], check=True)
            yield Around((), {"LD_PRELOAD": str(shim), "CLOCK_OFFSET_FILE": str(self._offset)})
        finally:
            shutil.rmtree(folder)

    def strike(self, scene: Scene) -> None:
        beside = self._offset.with_suffix(".new")
        beside.write_text(str(self._seconds))
        os.replace(beside, self._offset)

    def mend(self, scene: Scene) -> None:
        self._offset.unlink()


_SPLIT = (Phase.POST_COPY,)
BREAKAGES: tuple[Callable[[], Breakage], ...] = (
    KillHotfoot,
    lambda: KillLibvirtd("source"),
    # The libvirtd that starts next may end an incoming QEMU, though the guest runs there by now (libvirt 11.3).
    lambda: KillLibvirtd("destination", _SPLIT),
    lambda: KillQemu("source", tuple(Phase)),
    lambda: KillQemu("destination", _SPLIT),
    KillHost,
    CutLinkShortly,
    CutLink,
    StallStorage,
    FillDisk,
    StarveQemu,
    FillJournal,
    KillPostgres,
    lambda: JumpClock("an hour ahead", _CLOCK_JUMP_S),
    lambda: JumpClock("an hour back", -_CLOCK_JUMP_S),
)


def needs(breakage: Breakage) -> None:
    """Skip where this machine lacks what a breakage is made with."""
    if isinstance(breakage, KillPostgres) and Postgres.programs() is None:
        pytest.skip("this machine has no PostgreSQL server")
