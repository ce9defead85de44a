"""The command line: arguments in, words out, no logic of its own."""

import gc
import os

# Nearly all that a command makes while it starts lives to its end: to look for garbage in it every few hundred objects
# takes a tenth of its start-up.
gc.set_threshold(200_000)
# What other packages of this Python would add to pydantic is not wanted here; to look for it takes 10 ms.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from hotfoot.cli.app import main  # noqa: E402

__all__ = ["main"]
