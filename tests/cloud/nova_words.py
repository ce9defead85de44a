"""What Nova answers, written by hand after the compute API reference and nova's own views."""

from __future__ import annotations

from typing import Any

UUID = "3f0c8a5e-1111-4222-8333-944445555666"


def server(**changed: Any) -> dict[str, Any]:
    """Return a server on n1 that runs, with what a test changes; ``host``, ``task``, ``power`` for the long names."""
    long = {"host": "OS-EXT-SRV-ATTR:host", "task": "OS-EXT-STS:task_state", "power": "OS-EXT-STS:power_state"}
    plain = {
        "id": UUID, "name": "web1", "status": "ACTIVE", "tenant_id": "p", "OS-EXT-SRV-ATTR:host": "n1",
        "OS-EXT-STS:task_state": None, "OS-EXT-STS:power_state": 1, "OS-EXT-STS:vm_state": "active",
        "flavor": {"vcpus": 1, "ram": 128, "disk": 0, "ephemeral": 0, "swap": 0},
    }  # fmt: skip
    return {**plain, **{long.get(key, key): value for key, value in changed.items()}}


def record(status: str, **changed: Any) -> dict[str, Any]:
    """Return a migration record of os-migrations, from n1 to n2."""
    return {
        "id": 7, "status": status, "instance_uuid": UUID, "source_compute": "n1", "dest_compute": "n2",
        "migration_type": "live-migration", "created_at": "2026-11-21T20:00:00.000000",
        "updated_at": "2026-11-21T20:00:12.500000", **changed,
    }  # fmt: skip


def in_progress(status: str = "running", **changed: Any) -> dict[str, Any]:
    """Return a migration as a server's own list has it: with bytes."""
    return record(
        status,
        **{
            "memory_total_bytes": 142_016_512, "memory_processed_bytes": 34_000_000,
            "memory_remaining_bytes": 108_000_000, "disk_total_bytes": 0, "disk_processed_bytes": 0,
            "disk_remaining_bytes": 0, "server_uuid": UUID, **changed,
        },
    )  # fmt: skip


def action(*events: dict[str, Any]) -> dict[str, Any]:
    """Return an instance action with its events."""
    return {"action": "live-migration", "request_id": "req-1", "events": list(events)}


def failed(event: str, finish_time: str, traceback: str = "", details: str | None = None) -> dict[str, Any]:
    """Return an event that ended in an error."""
    return {
        "event": event, "result": "Error", "finish_time": finish_time, "traceback": traceback, "details": details,
    }  # fmt: skip
