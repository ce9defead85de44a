"""The command line: arguments in, words out, no logic of its own."""

from hotfoot.cli.app import main

__all__ = ["main"]
