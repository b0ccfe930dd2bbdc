"""One system that all attacks are made on, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dmp_stack.stack import Stack
from tests.hostile.bystander import Bystander
from tests.hostile.harness import System


@pytest.fixture(scope="package")
def system(new_stack: Callable[..., Stack]) -> Iterator[System]:
    """A system of these tests' own, which has stored something and answers at its usual speed."""
    with new_stack() as stack, Bystander(stack.http_url) as bystander:
        running = System(stack, bystander)
        running.warm_up()
        yield running
