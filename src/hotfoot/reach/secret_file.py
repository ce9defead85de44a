"""Values of secrets, read from files of the controller that nobody else may read."""

from __future__ import annotations

import base64
import binascii
import configparser
import os
from pathlib import Path

from hotfoot.errors import HotfootError
from hotfoot.readiness.change import DefineSecret, PutKeyring

_MOST_BYTES = 64 << 10


def secret_value(step: DefineSecret | PutKeyring) -> bytes:
    """Return what a host is to be given: the first line of the step's file, or the key of ``entity`` in a keyring.

    Raises HotfootError for a file that is not there, holds no such value, or may be read by others.
    """
    path = Path(step.file)
    if not step.entity:
        return password_in(path).encode()
    text = read_private(path)
    keyring = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        # Ceph indents the keys, which would make them go on with the line above.
        keyring.read_string("\n".join(line.strip() for line in text.splitlines()))
        return base64.b64decode(keyring[step.entity]["key"], validate=True)
    except (configparser.Error, KeyError, binascii.Error):
        raise HotfootError(f"the keyring {path} holds no key of {step.entity}") from None


def password_in(path: Path) -> str:
    """Return the first line of a file that nobody else may read; raises HotfootError where it has none."""
    password = (read_private(path).splitlines() or [""])[0]
    if not password.strip():
        raise HotfootError(f"the file {path} holds no password in its first line")
    return password


def read_private(path: Path) -> str:
    """Return the text of a file that holds secrets; raises HotfootError where it cannot, or others may read it."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise HotfootError(f"others may read {path}, which holds a secret: `chmod 600 {path}`")
            return file.read(_MOST_BYTES).decode()
    except OSError as error:
        raise HotfootError(f"the secret in {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise HotfootError(f"{path} is not text, so that no secret can be read from it") from None
