"""Long work lets others have their turn."""

from __future__ import annotations

import asyncio
import time

from dmp_chassis.pauses import Pauses

WORK_SECONDS = 0.3


def test_others_have_their_turn_every_few_milliseconds() -> None:
    turns, steps = asyncio.run(work_beside(busy_seconds=0.0))
    assert 10 < turns <= 2 * WORK_SECONDS / 0.003
    assert steps > 10 * turns, "what is not due costs no turn of the loop"


def test_who_has_much_to_do_has_many_turns_in_a_pause_but_does_not_keep_the_work_from_ending() -> None:
    turns, steps = asyncio.run(work_beside(busy_seconds=0.0002))
    assert turns > 4 * WORK_SECONDS / 0.0072, "20 turns of a fifth of a millisecond for three milliseconds of work"
    assert steps > 100


async def work_beside(*, busy_seconds: float) -> tuple[int, int]:
    """How many turns somebody has beside long work, who keeps the loop so long in each; and the steps of that work."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            ends = time.monotonic() + busy_seconds
            while time.monotonic() < ends:
                pass
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    pauses, steps, ends = Pauses(), 0, time.monotonic() + WORK_SECONDS
    while time.monotonic() < ends:
        await pauses.take_if_due()
        steps += 1
    beside.cancel()
    return turns, steps
