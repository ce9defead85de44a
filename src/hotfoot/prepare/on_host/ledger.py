"""The host's own journal of a run: what is about to be changed and what takes it back, on disk before it happens.

``/var/lib/hotfoot/runs/RUN/journal.jsonl`` holds one JSON object per line: an act that begins (with all that is
needed to take it back), that it is done, that it was taken back. ``files/`` beside it holds old versions of files;
it is removed once a run is taken back. A line that was cut off (power, full disk) is passed over: its act has not
begun.
"""

import base64
import fcntl
import json
import os
import shutil
import time
from typing import IO, Any, Dict, Iterator, List, Optional

from hotfoot.prepare.on_host.programs import Trouble

HOME = "/var/lib/hotfoot"

Act = Dict[str, Any]
"""One act: ``id``, ``act`` (its kind), ``n``, ``stage``, ``title``, ``at``, what takes it back; ``done`` (what became
known) once it is done, ``undone`` once it was taken back."""


class Ledger:
    """The journal of one run on this host; ``open`` before writing. Write only with the lock held."""

    def __init__(self, run: str, home: str = HOME) -> None:
        self.run = run
        self.home = home
        self.folder = os.path.join(home, "runs", run)
        self.begun = 0
        self._file: Optional[IO[bytes]] = None
        self._acts: Dict[int, Act] = {}
        self._step: Dict[str, Any] = {}
        self.controller = ""
        self.started = 0.0
        self.closed = False
        self.answered: Optional[bool] = None
        """Whether libvirt answered before this run changed anything of it; None: not asked yet."""
        self._read()

    @property
    def path(self) -> str:
        """The journal itself."""
        return os.path.join(self.folder, "journal.jsonl")

    def open(self, controller: str = "") -> None:
        """Make the run's folder, root's alone, and write the first line."""
        try:
            os.makedirs(os.path.join(self.folder, "files"), 0o700, exist_ok=True)
            os.chmod(self.home, 0o700)
            whole = not os.path.exists(self.path) or not os.path.getsize(self.path) or _ends_well(self.path)
            # Unbuffered: a line is with the kernel, or it is not.
            self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb", 0)
            if not whole:
                self._file.write(b"\n")
            if not self.started:
                self._write({"event": "opened", "run": self.run, "controller": controller})
                sync_folder(self.folder)
                sync_folder(os.path.dirname(self.folder))
        except OSError as error:
            raise Trouble("the journal {} cannot be written: {}".format(self.path, error.strerror)) from None

    def at_step(self, n: int, stage: int, title: str) -> None:
        """Say which step the acts that begin from now on belong to."""
        self._step = {"n": n, "stage": stage, "title": title}

    def begin(self, act: str, **back: Any) -> Act:
        """Write down an act before it is done. Raises Trouble when it cannot be: then it must not be done."""
        number = 1 + max(self._acts or [0])
        entry: Act = dict(self._step, id=number, act=act, at=_now(), **back)
        self._write(dict(entry, event="begin"))
        self.begun += 1
        self._acts[entry["id"]] = entry
        return entry

    def done(self, entry: Act, **known: Any) -> None:
        """Write down that an act is done, and what became known by it."""
        entry["done"] = dict(known, at=_now())
        self._write({"event": "done", "id": entry["id"], "known": entry["done"]})

    def undone(self, entry: Act) -> None:
        """Write down that an act was taken back, or came to nothing."""
        entry["undone"] = True
        self._write({"event": "undone", "id": entry["id"]})

    def note_libvirt(self, answers: bool) -> None:
        """Keep whether libvirt answered before this run touched it."""
        self.answered = answers
        self._write({"event": "libvirt", "answers": answers})

    def close(self) -> None:
        """Write down that all was taken back, and remove the old versions of files."""
        self._write({"event": "closed"})
        self.closed = True
        shutil.rmtree(os.path.join(self.folder, "files"), ignore_errors=True)
        for name in os.listdir(self.folder):
            if name != "journal.jsonl":
                os.unlink(os.path.join(self.folder, name))

    def acts(self) -> List[Act]:
        """All acts that were begun and not taken back, the newest first."""
        return [act for _, act in sorted(self._acts.items(), reverse=True) if not act.get("undone")]

    def save(self, data: bytes) -> str:
        """Keep the old version of a file; returns the name to ``load`` it by."""
        folder = os.path.join(self.folder, "files")
        name = str(1 + max([int(each) for each in os.listdir(folder)] or [0]))
        path = os.path.join(folder, name)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(folder)
        except OSError as error:
            if os.path.exists(path):
                os.unlink(path)
            raise Trouble("the old version cannot be kept in {}: {}".format(folder, error.strerror)) from None
        return name

    def load(self, name: str) -> bytes:
        """Return what was saved."""
        with open(os.path.join(self.folder, "files", name), "rb") as file:
            return file.read()

    def side_file(self, name: str) -> str:
        """Return the path of a file beside the journal, for lists too long for a line."""
        return os.path.join(self.folder, name)

    def _write(self, record: Dict[str, Any]) -> None:
        assert self._file is not None
        record.setdefault("at", _now())
        line = json.dumps(record, sort_keys=True) + "\n"
        try:
            self._file.write(line.encode("ascii"))
            os.fsync(self._file.fileno())
        except OSError as error:
            raise Trouble("the journal {} cannot be written: {}".format(self.path, error.strerror)) from None

    def _read(self) -> None:
        for record in _records(self.path):
            event = record.pop("event", "")
            if event == "opened":
                self.controller, self.started = str(record.get("controller", "")), float(record["at"])
            elif event == "begin":
                self._acts[record["id"]] = record
            elif event == "done" and record["id"] in self._acts:
                self._acts[record["id"]]["done"] = record["known"]
            elif event == "undone" and record["id"] in self._acts:
                self._acts[record["id"]]["undone"] = True
            elif event == "libvirt":
                self.answered = bool(record["answers"])
            elif event == "closed":
                self.closed = True


def runs(home: str = HOME) -> List[str]:
    """All runs that this host knows, the oldest first."""
    try:
        names = os.listdir(os.path.join(home, "runs"))
    except OSError:
        return []
    ledgers = [(Ledger(name, home).started, name) for name in names if os.path.isdir(os.path.join(home, "runs", name))]
    return [name for _, name in sorted(ledgers)]


def lock(run: str, home: str = HOME) -> IO[str]:
    """Hold the host for one run; let go by closing. Raises Trouble when another run holds it."""
    os.makedirs(os.path.join(home, "runs"), 0o700, exist_ok=True)
    held = os.fdopen(os.open(os.path.join(home, "lock"), os.O_RDWR | os.O_CREAT, 0o600), "r+")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        other = held.read().strip() or "another run"
        held.close()
        raise Trouble("{} is at work on this host; wait until it has ended, then repeat".format(other)) from None
    try:
        held.truncate(0)
        held.write("run {}\n".format(run))
        held.flush()
    except OSError:  # a full disk: what cannot be done without room says so itself
        pass
    return held


def sync_folder(path: str) -> None:
    """Have the names in a folder on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def packed(data: bytes) -> str:
    """Bytes as text for the journal."""
    return base64.b64encode(data).decode("ascii")


def unpacked(text: str) -> bytes:
    """What ``packed`` packed."""
    return base64.b64decode(text)


def _now() -> float:
    return round(time.time(), 3)


def _records(path: str) -> Iterator[Dict[str, Any]]:
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return
    for line in lines:
        try:
            record = json.loads(line.decode("ascii"))
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record


def _ends_well(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
