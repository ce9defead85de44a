"""Reads a scenario (docs/placement-scenarios.md): a cluster in short form, what is wanted, and what is expected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from hotfoot.placement.snapshot import MEMORY, VCPUS, Host, Instance, Limits, Resource, Rule, RuleKind, Snapshot
from hotfoot.placement.wish import Wish

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_BALANCE = ("measured", "threshold", "least_gain", "cost_per_gib")
_RESOURCES = {"memory": MEMORY, "vcpus": VCPUS}


@dataclass(frozen=True)
class Scenario:
    """One file."""

    about: str
    snapshot: Snapshot
    wish: Wish
    expect: Mapping[str, Any]


def read(path: Path) -> Scenario:
    """Return the scenario of a file; raises where it holds what is not understood."""
    text = YAML(typ="safe").load(path)
    assert set(text) <= {"about", "hosts", "instances", "rules", "limits", "wish", "expect"}, path
    snapshot = Snapshot(
        hosts=tuple(_host(name, told) for name, told in _each(text["hosts"])),
        instances=tuple(_instance(name, told) for name, told in _each(text["instances"])),
        rules=tuple(_rule(number, told) for number, told in enumerate(text.get("rules", []), 1)),
        limits=Limits.model_validate(_rates(text.get("limits", {}))),
    )
    return Scenario(text["about"], snapshot, _wish(dict(text["wish"])), text["expect"])


def size(told: str | int) -> int:
    """Read ``16G`` or a plain number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT])", str(told))
    return round(float(match[1]) * _UNITS[match[2]]) if match else int(told)


def _each(told: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield names with what is told of each; ``web*3`` stands for web1, web2 and web3."""
    for key, of in told.items():
        name, _, times = str(key).partition("*")
        names = [f"{name}{number}" for number in range(1, int(times) + 1)] if times else [name]
        for each in names:
            yield each, dict(of) if isinstance(of, Mapping) else {"in_short": str(of)}


def _words(told: dict[str, Any], *keys: str) -> None:
    """Put ``h1 4G 2`` into its keys."""
    told |= dict(zip(keys, told.pop("in_short", "").split(), strict=False))


def _sizes(told: Mapping[str, Any]) -> dict[str, int]:
    return {_RESOURCES.get(name, name): size(value) for name, value in told.items()}


def _loads(told: Mapping[str, Any]) -> dict[str, float]:
    return {_RESOURCES.get(name, name): size(of) if isinstance(of, str) else float(of) for name, of in told.items()}


def _rates(told: Mapping[str, Any]) -> dict[str, Any]:
    return {key: size(value) if key.endswith("_per_s") else value for key, value in told.items()}


def _host(name: str, told: dict[str, Any]) -> Host:
    _words(told, "memory", "vcpus")
    known = {
        "name": name,
        "zone": told.pop("zone", None),
        "safety": told.pop("safety", 1.0),
        "maintenance": told.pop("maintenance", False),
        "up": not told.pop("down", False),
        "used_by_others": _sizes(told.pop("others", {})),
        "load": _loads(told.pop("load", {})),
        "load_capacity": _loads(told.pop("bears", {})),
        "link_bytes_per_s": size(link) if (link := told.pop("link", None)) else None,
    }
    reserved, overcommit = _sizes(told.pop("reserved", {})), _loads(told.pop("overcommit", {}))
    resources = {
        of: Resource(total=total, reserved=reserved.get(of, 0), overcommit=overcommit.get(of, 1.0))
        for of, total in _sizes(told).items()
    }
    return Host.model_validate({**known, "resources": resources})


def _instance(name: str, told: dict[str, Any]) -> Instance:
    _words(told, "on", "memory", "vcpus")
    pinned = told.pop("pinned", None)
    known = {
        "name": name,
        "id": name,
        "host": told.pop("on"),
        "load": _loads(told.pop("load", {})),
        "impossible": told.pop("impossible", {}),
        "movable": pinned is None,
        "unmovable_because": pinned,
        "cold": told.pop("cold", None),
        "transfer_bytes": size(sends) if (sends := told.pop("sends", None)) is not None else None,
        "least_seconds": told.pop("least_seconds", 0.0),
        "downtime_ms": told.pop("downtime_ms", 0),
    }
    return Instance.model_validate({**known, "sizes": _sizes(told)})


def _rule(number: int, told: dict[str, Any]) -> Rule:
    kind = next(kind for kind in RuleKind if kind in told)
    soft = told.pop("soft", None)
    return Rule.model_validate(
        {
            "name": told.pop("name", f"rule{number}"),
            "kind": kind,
            "instances": told.pop(kind),
            "near": told.pop("of", ()),
            "hosts": told.pop("hosts", ()),
            "zones": told.pop("zones", 1),
            "hard": soft is None,
            "weight": float(soft or 1.0),
            **told,
        }
    )


def _wish(told: dict[str, Any]) -> Wish:
    kind = next(kind for kind in ("drain", "restore", "balance", "consolidate", "repair") if kind in told)
    what = told.pop(kind)
    objective: dict[str, Any] = {"kind": kind}
    if kind == "drain":
        objective["hosts"] = what
    elif kind == "restore":
        objective["homes"] = what
    elif kind == "balance":
        objective["what"] = [_RESOURCES.get(name, name) for name in what]
        objective |= {key: told.pop(key) for key in _BALANCE if key in told}
    return Wish.model_validate({"objective": objective, **told})
