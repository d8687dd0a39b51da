"""What all tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

import mytracker_nb as mt

if TYPE_CHECKING:
    from mytracker_nb.sandbox.server import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox for all, at once and without quotas: to be left as it was found."""
    with mt.sandbox.start(seconds=0, without_quotas=True) as running:
        yield running


@pytest.fixture
def start_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Start sandboxes of one's own, with any settings; they end with the test."""
    started: list[Sandbox] = []

    def start(**config: Any) -> Sandbox:
        started.append(mt.sandbox.start(**{"seconds": 0, "without_quotas": True, **config}))
        return started[-1]

    yield start
    for running in started:
        running.stop()
