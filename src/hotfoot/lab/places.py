"""Where the lab keeps things on this machine, all outside the repository.

``HOTFOOT_CACHE``  images, kept between runs (default /var/cache/hotfoot)
``HOTFOOT_RUN``    running labs (default /run/hotfoot)
"""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of cached images."""
    return Path(os.environ.get("HOTFOOT_CACHE", "/var/cache/hotfoot"))


def labs_folder() -> Path:
    """Return the folder that holds one folder for each running lab."""
    return Path(os.environ.get("HOTFOOT_RUN", "/run/hotfoot")) / "labs"
