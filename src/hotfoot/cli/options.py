"""Options that several commands share, so that each has one name and one meaning everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ClusterOption = Annotated[
    Path | None,
    typer.Option("--cluster", envvar="HOTFOOT_CLUSTER", help="Cluster file [default: ./hotfoot.yaml]."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
