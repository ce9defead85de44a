"""The command line: arguments in, words out, no logic of its own."""

import os

# What other packages of this Python would add to pydantic is not wanted here; to look for it takes 10 ms.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from hotfoot.cli.app import main

__all__ = ["main"]
