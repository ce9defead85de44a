"""Where what Hotfoot keeps for this user lies: the journals of migrations and of preparations."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """Return ``$XDG_STATE_HOME/hotfoot`` or its usual place, of root /var/lib/hotfoot/controller; it may not exist."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(state):
        return Path(state) / "hotfoot"
    if os.getuid() == 0:
        return Path("/var/lib/hotfoot/controller")
    return Path.home() / ".local" / "state" / "hotfoot"
