"""The cluster file as it is written: read whole, and replaced at once."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hotfoot.errors import HotfootError


@dataclass(frozen=True, slots=True)
class ClusterText:
    """What stands in a cluster file; ``path`` is as the operator names it."""

    path: Path
    text: str

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return sha256_of(self.text)


def sha256_of(text: str) -> str:
    """Return the digest of a text as a file has it."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_text(path: Path) -> ClusterText:
    """Read a cluster file as it is, line ends and all; raises HotfootError when it cannot be read."""
    try:
        return ClusterText(path, path.read_bytes().decode())
    except (OSError, UnicodeDecodeError) as error:
        raise HotfootError(f"the cluster file {path} cannot be read: {_reason(error)}") from None


def replace_text(path: Path, text: str, old_sha256: str | None) -> None:
    """Put a text in the place of a cluster file's, at once, with its mode and owner; a symbolic link stays one.

    ``old_sha256`` is of the text that it follows from (None: whatever is there). Raises HotfootError, the file being
    as it was, when it was changed meanwhile or cannot be written.
    """
    real = path.resolve()
    temporary = ""
    try:
        if old_sha256 is not None and hashlib.sha256(real.read_bytes()).hexdigest() != old_sha256:
            raise HotfootError(f"{path} was changed since it was read; repeat the command")
        was = real.stat()
        descriptor, temporary = tempfile.mkstemp(prefix=f".{real.name}.", dir=real.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), was.st_uid, was.st_gid)
            os.fchmod(file.fileno(), was.st_mode & 0o7777)
            os.fsync(file.fileno())
        os.replace(temporary, real)
        temporary = ""
    except OSError as error:
        raise HotfootError(f"{path} cannot be written: {_reason(error)}") from None
    finally:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not text in UTF-8"
