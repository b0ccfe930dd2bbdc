"""What a snapshot says of several identifiers."""

from __future__ import annotations

import pytest

from tests.identity.graphs import Also, Known, keys, snapshot


@pytest.mark.parametrize(
    ("shown", "one"),
    [
        ("", True),
        ("email:ann", True),
        ("email:ann phone:ann", True),
        ("email:ann user_id:ann", True),
        ("email:ann phone:ben", False),
        ("email:ann email:nobody", False),
        ("email:nobody email:ann", False),
        ("phone:shop", False),
    ],
)
def test_identifiers_are_one_person_s_if_each_matches_and_that_one(shown: str, one: bool) -> None:
    known = [Known(1, "email:ann phone:ann"), Known(2, "phone:ben phone:shop"), Known(3, "user_id:ann", of=1)]
    assert snapshot(known, Also(shared="phone:shop")).are_one_person(keys(shown)) is one
