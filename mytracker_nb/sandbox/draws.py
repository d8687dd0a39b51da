"""Stateless random numbers: each depends only on a key and a purpose.

A usual generator gives its numbers in order. Here the numbers of any device of any day can be
computed alone, in any order and in any process, and are always the same. The mixing function is
that of SplitMix64, applied to arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "draw", "pick", "series", "uniform"]

Array = npt.NDArray[Any]

_STEP = np.uint64(0x9E3779B97F4A7C15)


@cache
def _salt(purpose: str) -> np.uint64:
    digest = hashlib.blake2b(purpose.encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def _mix(x: Array) -> Array:
    x = x + _STEP
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def draw(keys: Array, purpose: str) -> Array:
    """A 64-bit number for each of `keys`, different for each `purpose`."""
    return _mix(keys ^ _salt(purpose))


def series(keys: Array, purpose: str, numbers: Array) -> Array:
    """The n-th 64-bit number of each of `keys`: the keys of objects that belong to them."""
    return _mix(draw(keys, purpose) + numbers.astype(np.uint64) * _STEP)


def uniform(keys: Array, purpose: str) -> Array:
    """A number in [0, 1) for each of `keys`, different for each `purpose`."""
    return (draw(keys, purpose) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def pick(keys: Array, purpose: str, weights: Sequence[float]) -> Array:
    """A random index into `weights` for each of `keys`, with probabilities by weight."""
    shares = np.cumsum(np.asarray(weights, dtype=np.float64))
    found = np.searchsorted(shares / shares[-1], uniform(keys, purpose), side="right")
    return np.minimum(found, len(weights) - 1)
