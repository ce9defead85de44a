"""Numba's compiler, typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

_Of = TypeVar("_Of", bound=Callable[..., object])


def compiled(function: _Of) -> _Of:
    """Compile a function at its first call, keep the result on disk, and let other threads run meanwhile."""
    return cast(_Of, numba.njit(nogil=True, cache=True)(function))
