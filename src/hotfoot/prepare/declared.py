"""What a run declares in the cluster file, on this machine: written at once, and taken back from the journal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hotfoot.cluster.text import read_text, replace_text, sha256_of
from hotfoot.errors import HotfootError
from hotfoot.prepare.journal import Declaration, Journal
from hotfoot.readiness.plan import PlannedChange


@dataclass(frozen=True, slots=True)
class TakenBack:
    """One declaration taken back; ``problem`` says why it was left."""

    title: str
    problem: str = ""


def declare(journal: Journal, run: str, path: Path, change: PlannedChange) -> None:
    """Write what a plan adds to the cluster file; ``change`` has its new text, and the digest of the old.

    Invariant: what takes it back is in the journal before the file is written; of the file's own text only what is
    added is kept there, since it may hold a password. Raises HotfootError, the file being as it was.
    """
    old, new = read_text(path).text, change.new_text or ""
    if sha256_of(old) != change.old_sha256:
        raise HotfootError(f"{path} was changed since it was read; repeat the command")
    at = next((i for i, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), len(old))
    added = new[at : at + len(new) - len(old)]
    assert _without(new, at, added) == old
    kept = Declaration(str(path.resolve()), change.title, at, added, change.old_sha256, sha256_of(new))
    journal.keep_declaration(run, kept)
    replace_text(path, new, change.old_sha256)


def take_back(journal: Journal, run: str, *, force: bool = False) -> tuple[TakenBack, ...]:
    """Take back what a run declared, and forget it; may be repeated.

    A file that somebody else changed since is left as it is, unless ``force``: then what was added is taken out of
    it where it still stands there, once.
    """
    return tuple(_taken_back(journal, run, each, force) for each in journal.declarations(run))


def _taken_back(journal: Journal, run: str, kept: Declaration, force: bool) -> TakenBack:
    path = Path(kept.path)
    try:
        found = read_text(path)
        if found.sha256 == kept.new_sha256:
            replace_text(path, _without(found.text, kept.at, kept.added), found.sha256)
        elif found.sha256 != kept.old_sha256:
            if not force:
                return TakenBack(kept.title, f"{path} was changed since")
            if found.text.count(kept.added) != 1:
                return TakenBack(kept.title, f"what was added to {path} is no longer in it as it was")
            replace_text(path, found.text.replace(kept.added, ""), found.sha256)
    except HotfootError as error:
        return TakenBack(kept.title, str(error).rstrip("."))
    journal.forget_declaration(run, kept.path)
    return TakenBack(kept.title)


def _without(text: str, at: int, added: str) -> str:
    return text[:at] + text[at + len(added) :]
