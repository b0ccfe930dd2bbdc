"""Which batches that wait are applied in one transaction."""

from __future__ import annotations

import pytest

from dmp_identity.domain.joined_batches import joinable


@pytest.mark.parametrize(
    ("waiting", "joined"),
    [
        pytest.param([], 0, id="none waits"),
        pytest.param([5000], 1, id="a large one goes alone"),
        pytest.param([1, 1, 1], 3, id="small ones go together"),
        pytest.param([400, 600], 2, id="up to a thousand events"),
        pytest.param([400, 601], 1, id="not more than a thousand events"),
        pytest.param([1000, 0, 1], 2, id="one without events costs nothing"),
        pytest.param([1, 5000, 1], 1, id="nobody is passed"),
        pytest.param([1] * 64, 64, id="up to 64 batches"),
        pytest.param([1] * 65, 64, id="not more than 64 batches"),
    ],
)
def test_as_many_are_joined_as_cost_little_more_than_one(waiting: list[int], joined: int) -> None:
    assert joinable(waiting) == joined
