"""The key that stands for an event id, the fingerprint of a content, and ids that are derived from a request's key."""

from __future__ import annotations

import uuid
from hashlib import blake2b
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_ingest.domain.event_key import derived_event_id, event_key, event_keys, fingerprint

CANONICAL = "0192f4a1-7c3e-7d5a-9b1f-0a2b3c4d5e6f"


def hashed(event_id: str) -> bytes:
    return blake2b(event_id.encode(), digest_size=16).digest()


@pytest.mark.parametrize("event_id", [CANONICAL, str(uuid.UUID(int=0)), "ffffffff-ffff-ffff-ffff-ffffffffffff"])
def test_a_canonical_uuid_is_its_own_key(event_id: str) -> None:
    assert event_key(event_id) == uuid.UUID(event_id).bytes


@pytest.mark.parametrize(
    "event_id",
    [
        "a",
        "",
        "Ωmega",
        CANONICAL.upper(),
        CANONICAL.replace("-", ""),
        CANONICAL[:-1],
        CANONICAL + "0",
        f"{{{CANONICAL}}}",
        CANONICAL[:-1] + "g",
        "x" * 36,
    ],
)
def test_any_other_id_is_hashed(event_id: str) -> None:
    assert event_key(event_id) == hashed(event_id)


def test_a_lone_surrogate_has_a_key_too() -> None:
    assert len(event_key("\ud800")) == 16


def test_keys_never_change() -> None:
    """Keys are stored: another key for the same id would count an event twice."""
    assert event_key("evt_1").hex() == "6a3d9cb58a794e0e5f5246a0049dbb9b"
    assert derived_event_id("key", 0) == "e3b94649-af8d-5312-a68e-548483de24cf"
    assert fingerprint(b"content") == 6_193_209_363_630_369_380


IDS = st.one_of(st.uuids().map(str), st.text(max_size=40), st.just(CANONICAL.upper()), st.just(CANONICAL[:-1] + "g"))


@given(st.lists(IDS, max_size=6))
def test_keys_of_many_are_the_keys_of_each(event_ids: list[str]) -> None:
    assert event_keys(event_ids) == [event_key(event_id) for event_id in event_ids]


@given(st.lists(st.uuids().map(str), min_size=1, max_size=6))
def test_keys_of_canonical_uuids_are_their_bytes(event_ids: list[str]) -> None:
    assert event_keys(event_ids) == [uuid.UUID(event_id).bytes for event_id in event_ids]


def test_ids_that_only_look_like_uuids_when_joined_are_told_apart() -> None:
    """Two ids whose texts, joined by a comma, have the length and the commas of others."""
    event_ids = [CANONICAL[:-1], CANONICAL + "0", f"{CANONICAL},{CANONICAL}"]
    assert event_keys(event_ids) == [hashed(event_id) for event_id in event_ids]


@given(st.binary())
def test_a_fingerprint_fits_into_a_signed_column_and_depends_on_the_content_only(content: bytes) -> None:
    assert 0 <= fingerprint(content) < 2**63
    assert fingerprint(content) == fingerprint(bytes(content))
    assert fingerprint(content) != fingerprint(content + b"x")


def test_an_id_that_is_derived_depends_on_the_key_and_the_position() -> None:
    derived = {derived_event_id(key, index) for key in ("a", "b", "1:a") for index in range(3)}
    assert len(derived) == 9
    assert derived_event_id("a", 1) == derived_event_id("a", 1)
    assert uuid.UUID(derived_event_id("a", 1)).version == 5


def test_keys_of_many_uuids_cost_far_less_than_one_by_one() -> None:
    """They are made in one go: no id is looked at by itself."""
    with mock.patch("dmp_ingest.domain.event_key.event_key", side_effect=AssertionError("one by one")):
        assert event_keys([CANONICAL] * 3) == [uuid.UUID(CANONICAL).bytes] * 3
        assert event_keys([]) == []
