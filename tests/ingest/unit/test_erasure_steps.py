"""How an erasure goes on: given what identity lists and has erased, and what may still arrive, which step is next."""

from __future__ import annotations

import pytest

from dmp_ingest.domain.erasure_steps import ErasureStep, next_step


@pytest.mark.parametrize(
    ("listed", "finished", "finished_before", "may_still_arrive", "step"),
    [
        pytest.param(True, True, True, False, ErasureStep.CLEAN_EVENTS, id="it is not over while an event is listed"),
        pytest.param(True, False, False, True, ErasureStep.CLEAN_EVENTS, id="events are cleaned before more is erased"),
        pytest.param(False, False, False, True, ErasureStep.ERASE_MORE, id="identity has more about the person"),
        pytest.param(False, False, True, False, ErasureStep.ERASE_MORE, id="a late event has told identity more"),
        pytest.param(False, True, False, True, ErasureStep.FORGET_USERS, id="all is erased, for the first time"),
        pytest.param(False, True, True, True, ErasureStep.WAIT, id="an earlier event may still arrive"),
        pytest.param(False, True, True, False, ErasureStep.COMPLETE, id="no earlier event can arrive any more"),
        pytest.param(False, True, False, False, ErasureStep.COMPLETE, id="all is erased, and nothing can arrive"),
    ],
)
def test_the_next_step_of_an_erasure(
    *, listed: bool, finished: bool, finished_before: bool, may_still_arrive: bool, step: ErasureStep
) -> None:
    found = next_step(
        events_are_listed=listed,
        finished=finished,
        finished_before=finished_before,
        may_still_arrive=may_still_arrive,
    )
    assert found is step
