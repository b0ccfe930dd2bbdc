"""What a rejected event tells, and which id an event of another format has."""

from __future__ import annotations

import pytest

from dmp_ingest.domain.event import MOST_PROBLEMS, ForeignEvent, SubmittedEvent, rejected_event


def problems(fields: int) -> dict[str, list[str]]:
    return {f"field{number}": ["is wrong"] for number in range(fields)}


@pytest.mark.parametrize("fields", [1, MOST_PROBLEMS])
def test_a_rejected_event_names_every_problem(fields: int) -> None:
    rejected = rejected_event("e", problems(fields))
    assert (rejected.event_id, rejected.errors) == ("e", problems(fields))


@pytest.mark.parametrize("fields", [MOST_PROBLEMS + 1, 1000])
def test_of_too_many_problems_the_first_are_named_and_that_there_are_more(fields: int) -> None:
    rejected = rejected_event("", problems(fields))
    assert rejected.errors == problems(MOST_PROBLEMS - 1) | {"event": ["has more problems than are listed"]}
    assert len(rejected.errors) == MOST_PROBLEMS == 20


def test_that_there_are_more_is_added_to_what_is_said_of_the_whole_event() -> None:
    rejected = rejected_event("", {"event": ["is no object"]} | problems(50))
    assert rejected.errors["event"] == ["is no object", "has more problems than are listed"]


@pytest.mark.parametrize("event_id", [None, "e"])
def test_an_event_of_another_format_has_the_id_of_what_could_be_read(event_id: str | None) -> None:
    assert ForeignEvent(readable=SubmittedEvent(event_id=event_id), hints={}).event_id == event_id
