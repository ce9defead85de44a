"""A host's part in watching which pages of a guest are written: it reads some of them now and then, and compares.

Runs on hosts as root (Python 3.6 and newer, standard library only). Nothing is written, nothing stops the guest, and
no page is touched that the guest has not: what QEMU's process has not mapped is left alone (``/proc/PID/pagemap``), the
rest is read through ``/proc/PID/mem``. What is compared are checksums; no content leaves the host.
"""

import json
import os
import random
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MOST_PAGES = 32768
"""So many are looked at, evenly spread: of 128 MiB all. Of guests of more than 64 GiB, as many as QEMU looks at."""
PAGES_PER_GIB = 512
LOOK_S = 0.25
"""Fewer are looked at where a look at all of them would take longer."""
_TRIAL = 8
"""A look at every eighth page tells how long one at all would take."""
_MAPPED, _SWAPPED = 1 << 63, 1 << 62
_EMPTY, _AWAY = 0, 1
_ZERO = bytes(PAGE_BYTES)
_MOST_SPARE_BYTES = 64 << 20


class Guest:
    """The memory of one guest in its QEMU process; raises ValueError where none of its mappings can be that."""

    def __init__(self, pid: int, memory_bytes: int) -> None:
        self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        self._pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY)
        with open(f"/proc/{pid}/maps") as maps:
            found = [span for span in (_span(line, memory_bytes) for line in maps) if span]
        if not found:
            raise ValueError("no mapping is as large as the guest's memory")
        begin, end = max(found, key=self._mapped)
        self.pages = (end - begin) // PAGE_BYTES
        most = max(MOST_PAGES, self.pages * PAGE_BYTES * PAGES_PER_GIB >> 30)
        self.chosen = list(_spread(begin, end, min(self.pages, most)))

    def thin(self, took_s: float) -> None:
        """Look at fewer pages from now on, if a look at these took too long."""
        self.chosen = self.chosen[:: int(took_s / LOOK_S) + 1]

    def look(self, step: int = 1) -> "tuple[float, list[int]]":
        """Return when, and for each chosen page, or every so-manieth, its checksum, or that it is empty or away."""
        began_s = time.monotonic()
        seen = [self._checksum(address) for address in self.chosen[::step]]
        return (began_s + time.monotonic()) / 2, seen

    def _entry(self, address: int) -> int:
        return int.from_bytes(os.pread(self._pagemap, 8, address // PAGE_BYTES * 8), sys.byteorder)

    def _checksum(self, address: int) -> int:
        entry = self._entry(address)
        if not entry & _MAPPED:
            return _AWAY if entry & _SWAPPED else _EMPTY
        page = os.pread(self._memory, PAGE_BYTES, address)
        return _EMPTY if page == _ZERO else zlib.crc32(page) | 1 << 32

    def _mapped(self, span: "tuple[int, int]") -> float:
        looked_at = list(_spread(*span, pages=1024))
        return (span[1] - span[0]) * sum(self._entry(address) >> 62 > 0 for address in looked_at) / len(looked_at)


def _span(line: str, memory_bytes: int) -> "tuple[int, int] | None":
    """Return where a mapping begins and ends, if it may be the guest's memory: private, and of that size.

    Of memory that is shared with other processes QEMU need not have mapped all that is used.
    """
    addresses, mode = line.split()[:2]
    begin, end = (int(each, 16) for each in addresses.split("-"))
    fits = memory_bytes <= end - begin < memory_bytes * 1.06 + _MOST_SPARE_BYTES
    return (begin, end) if fits and mode.startswith("rw-p") else None


def _spread(begin: int, end: int, pages: int) -> Iterator[int]:
    """Yield the addresses of so many pages: one from each of as many equal parts, at random."""
    every = (end - begin) // PAGE_BYTES
    for n in range(pages):
        first, past = every * n // pages, every * (n + 1) // pages
        yield begin + random.randrange(first, max(past, first + 1)) * PAGE_BYTES


def watch(pid: int, memory_bytes: int, at_s: "list[float]") -> "dict[str, object]":
    """Look now and at these times; return how many pages had which history, a digit for each time between two looks."""
    guest = Guest(pid, memory_bytes)
    began_s = time.monotonic()
    guest.look(_TRIAL)
    guest.thin(_TRIAL * (time.monotonic() - began_s))
    began_s = time.monotonic()
    first_s, last = guest.look()
    histories, looked_s = [""] * len(last), [0.0]
    for moment_s in at_s:
        time.sleep(max(0.0, began_s + moment_s - time.monotonic()))
        now_s, now = guest.look()
        histories = [past + "01"[now[n] != last[n]] for n, past in enumerate(histories)]
        last = now
        looked_s.append(now_s - first_s)
    return {
        "page_bytes": PAGE_BYTES,
        "pages": guest.pages,
        "looked_at": len(last),
        "used": len(last) - last.count(_EMPTY),
        "at_s": looked_s,
        "histories": Counter(histories),
    }


if __name__ == "__main__":
    print(json.dumps(watch(int(sys.argv[1]), int(sys.argv[2]), [float(each) for each in sys.argv[3:]])))
