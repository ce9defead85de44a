"""Bytes, rates and durations in an operator's words."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def human_bytes(count: float) -> str:
    """Short: ``0 B``, ``4.0 KiB``, ``120 MiB``, ``1.5 GiB``."""
    unit = 0
    value = float(count)
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    digits = 1 if unit and value < 9.95 else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"


def human_rate(bytes_per_s: float) -> str:
    """``112 MiB/s``."""
    return f"{human_bytes(bytes_per_s)}/s"


def human_duration(milliseconds: float) -> str:
    """``240 ms``, ``9.5 s``, ``42 s``, ``3 min 07 s``, ``2 h 05 min``."""
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 9_950:
        return f"{milliseconds / 1000:.1f} s"
    return human_seconds(milliseconds / 1000)


def human_seconds(seconds: float) -> str:
    """In whole seconds, for a calm clock: ``0 s``, ``42 s``, ``3 min 07 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
