"""Loading the cluster file: every mistake of it in one answer, each with its line."""

from __future__ import annotations

import os
from pathlib import Path

from hotfoot.cluster.journal_url import has_password
from hotfoot.cluster.judged import keep, recall
from hotfoot.cluster.model import Cluster
from hotfoot.cluster.named_files import wrong_files
from hotfoot.cluster.yaml_lines import Mistake
from hotfoot.errors import ExitStatus, HotfootError

DEFAULT_NAME = "hotfoot.yaml"
_LARGEST_FILE_BYTES = 1 << 20


def load(path: Path | None, cwd: Path, *, certificates: bool = True) -> Cluster:
    """Read the cluster file at ``path`` (relative to ``cwd``), or ``hotfoot.yaml`` in ``cwd`` for None.

    Invariant: a Cluster is returned only if nothing at all is wrong with the file and with the keys and
    certificates that it names. Otherwise raises HotfootError (USAGE), for each mistake one line
    ``FILE:LINE: sentence.`` Without ``certificates`` those of ``libvirt.pki`` may have yet to be made.
    """
    if path is None and not os.path.lexists(cwd / DEFAULT_NAME):
        raise HotfootError(
            f"there is no {DEFAULT_NAME} in {cwd}: go to the folder that has one, name one by --cluster FILE "
            "or HOTFOOT_CLUSTER, or type `hotfoot lab up` to get hosts for trying.",
            ExitStatus.USAGE,
        )
    shown_path = path if path is not None else Path(DEFAULT_NAME)
    real_path = cwd / shown_path.expanduser()
    text = _read(real_path, shown_path)
    judged = recall(real_path, text)
    if judged is not None and not any(wrong_files(judged, certificates=certificates)):
        return judged
    from hotfoot.cluster.judge import judge

    cluster, mistakes = judge(text, real_path, certificates=certificates)
    if cluster is None or mistakes:
        raise _refusal(shown_path, mistakes)
    if cluster.journal.url is None or not has_password(cluster.journal.url):  # no second place for a password
        keep(real_path, text, cluster)
    return cluster


def _read(path: Path, shown_path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        raise HotfootError(f"there is no cluster file {shown_path}; check the path.", ExitStatus.USAGE) from None
    except IsADirectoryError:
        raise HotfootError(
            f"{shown_path} is a folder; name the cluster file in it, such as {shown_path / DEFAULT_NAME}.",
            ExitStatus.USAGE,
        ) from None
    except OSError as error:
        raise HotfootError(
            f"the cluster file {shown_path} cannot be read: {error.strerror}.", ExitStatus.USAGE
        ) from None
    if len(raw) > _LARGEST_FILE_BYTES:
        raise HotfootError(
            f"{shown_path} is larger than 1 MiB, which no cluster file is; check the path.", ExitStatus.USAGE
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _refusal(shown_path, [Mistake(line, "this is not text in UTF-8")]) from None


def _refusal(path: Path, mistakes: list[Mistake]) -> HotfootError:
    """All mistakes in the order of the file; one told twice, by way of an alias, is told once."""
    lines = [
        f"{path}:{mistake.line}: {mistake.sentence}{'' if mistake.sentence.endswith('?') else '.'}"
        for mistake in sorted(set(mistakes))
    ]
    return HotfootError("\n".join(lines), ExitStatus.USAGE)
