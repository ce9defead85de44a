"""A virtual environment with Nova in it, for benchmarks that run Nova's own functions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_VENV = Path(__file__).resolve().parent.parent / ".venv-bench"
_NOVA = ["nova==34.0.0"]


def python_with_nova() -> Path:
    """Return its Python; it is made when it is missing. Raises CalledProcessError and OSError where it cannot be."""
    python = _VENV / "bin" / "python"
    if not (_VENV / ".installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(_VENV)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-qq", *_NOVA], check=True)
        (_VENV / ".installed").touch()
    return python
