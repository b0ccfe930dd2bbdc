"""The sliding window against a naive rescan of all events."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from dmp_stats.domain import window as window_module
from dmp_stats.domain.reference import ReferenceSnapshot, pack_chunk, unpack_chunk
from dmp_stats.domain.user_activity import UserActivity, pack_activity, unpack_activity
from dmp_stats.domain.window import Window, WindowCounts

NOW = 1_770_757_800


def activity(events: Sequence[tuple[int, str]]) -> UserActivity:
    places = {user: place for place, user in enumerate(dict.fromkeys(user for _, user in events))}
    return UserActivity(
        user_ids=list(places),
        seconds=np.array([second for second, _ in events], np.int64),
        users=np.array([places[user] for _, user in events], np.int64),
    )


def window(now: int = NOW, retention: int = 1800) -> Window:
    return Window(retention=retention, now=now, names=("plan", "region"))


def adopt(target: Window, users: Mapping[str, Mapping[str, str]], generation: int = 1) -> None:
    snapshot = ReferenceSnapshot(generation=generation)
    for _ in snapshot.add(unpack_chunk(pack_chunk(users)), target.user_index):
        pass
    for _ in target.prepare(snapshot, ()):
        pass
    target.adopt()


def rescan(
    events: Sequence[tuple[int, str]],
    users: Mapping[str, Mapping[str, str]],
    now: int,
    seconds: int,
    names: Sequence[str] = ("plan", "region"),
) -> dict[str, Any]:
    inside = [(second, user) for second, user in events if now - seconds + 1 <= second <= now]
    by: dict[str, Counter[str]] = {}
    for name in names:
        by[name] = Counter({attributes[name]: 0 for attributes in users.values() if name in attributes})
        by[name].update(users[user][name] for _, user in inside if name in users.get(user, {}))
    seen = {user for _, user in inside}
    return {
        "events": len(inside),
        "unknown": sum(user not in users for _, user in inside),
        "unique_users": len(seen & users.keys()),
        "unknown_users": len(seen - users.keys()),
        "by": {name: dict(sorted(counts.items())) for name, counts in by.items()},
    }


def figures(counts: WindowCounts) -> dict[str, Any]:
    return {
        "events": counts.events,
        "unknown": counts.unknown,
        "unique_users": counts.unique_users,
        "unknown_users": counts.unknown_users,
        "by": {name: dict(values) for name, values in counts.by.items()},
    }


def test_100_000_random_events_are_counted_as_a_rescan_counts_them() -> None:
    rnd = random.Random(5)
    users = {
        f"u{number}": {"plan": rnd.choice(["free", "pro"]), **({"region": rnd.choice("abc")} if number % 3 else {})}
        for number in range(3_000)
    }
    target = window()
    adopt(target, users)
    events: list[tuple[int, str]] = []
    now = NOW
    for step in range(100):
        part = [(now - rnd.randrange(-120, 2_000), f"u{rnd.randrange(4_000)}") for _ in range(1_000)]
        target.add(unpack_activity(pack_activity(activity(part))))
        events += part
        now += rnd.randrange(25)
        target.advance(now)
        if step % 10 == 9:
            users = {f"u{n}": {"plan": rnd.choice(["free", "pro", "team"])} for n in range(step * 10, 3_500)}
            adopt(target, users, generation=step)
        if step % 7 == 0:
            for seconds in (1, 59, 300, 1800):
                assert figures(target.counts(seconds, ("plan", "region"))) == rescan(events, users, now, seconds)
    for seconds in (2, 3, 60, 61, 299, 301, 900, 1799):
        assert figures(target.counts(seconds, ("plan", "region"))) == rescan(events, users, now, seconds)


@pytest.mark.parametrize(("second", "seen"), [(NOW - 300, 0), (NOW - 299, 1), (NOW, 1), (NOW + 1, 0)])
def test_a_window_of_300_seconds_is_its_last_300_seconds(second: int, seen: int) -> None:
    target = window()
    target.add(activity([(second, "u")]))
    assert target.counts(300, ()).events == seen


def test_a_future_event_counts_when_its_second_comes() -> None:
    target = window()
    target.add(activity([(NOW + 90, "u"), (NOW + 86_400, "v")]))
    for now, events in ((NOW + 89, 0), (NOW + 90, 1), (NOW + 389, 1), (NOW + 390, 0), (NOW + 86_400, 1)):
        target.advance(now)
        assert target.counts(300, ()).events == events


def test_an_event_older_than_the_window_never_counts() -> None:
    target = window()
    target.add(activity([(NOW - 1_800, "u"), (NOW - 1_799, "v")]))
    assert target.counts(1_800, ()).events == 1


def test_a_clock_that_was_set_back_does_not_bring_events_back_or_lose_any() -> None:
    target = window()
    target.add(activity([(NOW, "u")]))
    target.advance(NOW + 10)
    target.advance(NOW - 1_000)
    assert target.now == NOW + 10
    assert target.counts(11, ()).events == 1
    assert target.counts(10, ()).events == 0


def test_a_window_that_slept_longer_than_it_reaches_is_empty() -> None:
    target = window()
    target.add(activity([(NOW, "u")]))
    target.advance(NOW + 10_000_000)
    assert target.counts(1_800, ()).events == 0
    assert target.events == 0


def test_a_known_user_without_the_attribute_is_in_no_group_and_not_unknown() -> None:
    target = window()
    adopt(target, {"u": {"plan": "pro"}, "v": {}})
    target.add(activity([(NOW, "u"), (NOW, "v"), (NOW, "w")]))
    assert figures(target.counts(60, ("plan", "region", "colour"))) == {
        "events": 3,
        "unknown": 1,
        "unique_users": 2,
        "unknown_users": 1,
        "by": {"plan": {"pro": 1}, "region": {}, "colour": {}},
    }


@pytest.mark.parametrize("events_a_step", [1, 3, 20_000])
def test_events_that_come_while_a_version_is_prepared_are_in_it(
    events_a_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever minute they fall into: one that is to be counted, one that is, or one that is half counted."""
    monkeypatch.setattr(window_module, "_EVENTS_A_STEP", events_a_step)
    target = window()
    for minute in range(10):
        target.add(activity([(NOW - 60 * minute - second, "u") for second in range(5)]))
    snapshot = ReferenceSnapshot(generation=7)
    for _ in snapshot.add(unpack_chunk(pack_chunk({"u": {"plan": "pro"}, "v": {"plan": "free"}})), target.user_index):
        pass
    added = 0
    for step, _ in enumerate(target.prepare(snapshot, ())):
        target.add(activity([(NOW - 60 * (step % 12), "v"), (NOW - 700, "w")]))
        target.advance(NOW + step)
        added = step + 1
        before = target.counts(1_800, ("plan",))
        assert before.unknown == before.events == 50 + 2 * added
    assert added >= 10
    added += 1
    target.add(activity([(NOW - 1_500, "v"), (NOW - 1_500, "w")]))
    target.adopt()
    after = target.counts(1_800, ("plan",))
    assert after.generation == 7
    assert after.by["plan"] == {"free": added, "pro": 50}
    assert after.unknown == added


def test_seconds_that_pass_while_a_version_is_prepared_are_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_module, "_EVENTS_A_STEP", 1)
    target = window(retention=60)
    target.add(activity([(NOW - second, "u") for second in range(60)]))
    snapshot = ReferenceSnapshot(generation=7)
    for step, _ in enumerate(target.prepare(snapshot, ())):
        target.advance(NOW + step // 2)
    passed = target.now - NOW
    assert passed > 10
    target.adopt()
    assert target.counts(60, ()).unknown == 60 - passed


def test_a_large_chunk_is_added_in_steps() -> None:
    """So that readers are answered in between."""
    target = window()
    snapshot = ReferenceSnapshot(generation=1)
    users = {f"u{number}": {"plan": f"p{number % 3}"} for number in range(20_000)}
    steps = sum(1 for _ in snapshot.add(unpack_chunk(pack_chunk(users)), target.user_index))
    assert steps >= 20
    assert snapshot.users() == 20_000
    assert all(
        snapshot.of_user(target.user_index.number(user)) == users[user] for user in ("u0", "u999", "u1000", "u19999")
    )


def test_more_than_a_thousand_values_are_cut_to_those_with_most_events() -> None:
    target = window()
    users = {f"u{n:05d}": {"plan": f"p{n:05d}"} for n in range(6_000)}
    adopt(target, users)
    target.add(activity([(NOW, f"u{n:05d}") for n in range(5_000, 6_000, 2)]))
    by_plan = target.counts(1, ("plan",)).by["plan"]
    assert len(by_plan) == 1_000
    assert sum(by_plan.values()) == 500
    assert list(by_plan) == sorted(by_plan)


def test_listing_a_value_for_each_of_many_users_takes_no_time() -> None:
    target = window()
    adopt(target, {f"u{n}": {"plan": f"p{n}"} for n in range(200_000)})
    target.add(activity([(NOW, f"u{n}") for n in range(0, 200_000, 2)]))
    began = time.process_time()
    by_plan = target.counts(1, ("plan",)).by["plan"]
    assert time.process_time() - began < 0.1
    assert len(by_plan) == 1_000
    assert set(by_plan.values()) == {1}


def test_users_that_have_left_the_window_are_forgotten() -> None:
    target = window()
    adopt(target, {f"known{n}": {"plan": "pro"} for n in range(10)})
    for hour in range(4):
        target.add(activity([(NOW + hour * 3_600, f"u{hour}-{n}") for n in range(30_000)]))
        target.add(activity([(NOW + hour * 3_600, "known3"), (NOW + hour * 3_600 + 90_000, "later")]))
        target.advance(NOW + hour * 3_600 + 3_599)
    assert len(target.user_index) <= 30_000 + 11 + 50_000 + 30_000
    target.add(activity([(target.now, "known3"), (target.now, "new")]))
    counts = target.counts(1, ("plan",))
    assert (counts.unique_users, counts.unknown_users, dict(counts.by["plan"])) == (1, 1, {"pro": 1})
    target.advance(NOW + 90_000)
    assert target.counts(1, ()).unknown == 1


def preparing(target: Window, users: Mapping[str, Mapping[str, str]], generation: int) -> Iterator[None]:
    """The steps in which a window gets a version of the table."""
    snapshot = ReferenceSnapshot(generation=generation)
    for _ in snapshot.add(unpack_chunk(pack_chunk(users)), target.user_index):
        pass
    return target.prepare(snapshot, ())


def test_a_prepared_version_is_shown_once_it_is_adopted() -> None:
    target = window()
    target.add(activity([(NOW, "u")]))
    assert not target.is_prepared_for(7)
    for _ in preparing(target, {"u": {"plan": "pro"}}, 7):
        assert target.is_preparing
    assert (target.is_prepared_for(7), target.is_prepared_for(8)) == (True, False)
    assert target.counts(1, ()).unknown == 1
    target.adopt()
    assert (target.is_preparing, target.is_prepared_for(7)) == (False, False)
    assert target.view.snapshot.generation == target.counts(1, ()).generation == 7
    assert target.counts(1, ()).unknown == 0


def test_an_abandoned_version_is_never_shown() -> None:
    target = window()
    target.add(activity([(NOW, "u")]))
    for _ in preparing(target, {"u": {"plan": "pro"}}, 7):
        pass
    target.abandon()
    assert (target.is_preparing, target.is_prepared_for(7)) == (False, False)
    assert (target.counts(1, ()).generation, target.counts(1, ()).unknown) == (0, 1)


@pytest.mark.parametrize("now", [NOW - 5_000, NOW, NOW + 5_000])
def test_a_window_that_restarts_has_forgotten_its_events_and_knows_its_users(now: int) -> None:
    target = window()
    adopt(target, {"u": {"plan": "pro"}}, generation=7)
    target.add(activity([(NOW, "u"), (NOW + 10, "u"), (NOW, "v")]))
    for _ in preparing(target, {"u": {"plan": "team"}, "v": {}}, 8):
        pass
    target.restart(now)
    assert (target.now, target.events) == (now, 0)
    target.advance(now + 20)
    assert figures(target.counts(1_800, ("plan",))) == figures(window(now).counts(1_800, ("plan",))) | {
        "by": {"plan": {"pro": 0}}
    }
    target.add(activity([(now + 20, "u"), (now + 20, "v")]))
    counts = target.counts(1, ("plan",))
    assert (counts.generation, counts.unknown, counts.unique_users, counts.unknown_users) == (7, 1, 1, 1)
    assert counts.by == {"plan": {"pro": 1}}
    target.adopt()
    counts = target.counts(1_800, ("plan",))
    assert (counts.generation, counts.unknown, counts.events, counts.by) == (8, 0, 2, {"plan": {"team": 1}})


def test_users_keep_their_numbers_while_somebody_holds_some() -> None:
    target = window()
    target.keeps_everybody = True
    target.add(activity([(NOW, f"u{number}") for number in range(100_001)]))
    target.advance(NOW + 7_200)
    assert len(target.user_index) == 100_001
    target.keeps_everybody = False
    target.advance(NOW + 7_260)
    assert len(target.user_index) == 0


def test_users_whose_events_are_left_or_still_to_come_are_not_forgotten() -> None:
    target = window()
    target.add(activity([(NOW, f"u{number}") for number in range(100_010)]))
    target.add(activity([(NOW + 1_700, "left"), (NOW + 3_000, "to come")]))
    target.advance(NOW + 1_740)
    assert len(target.user_index) == 100_012
    target.advance(NOW + 1_860)
    assert list(target.user_index.everybody()) == ["left", "to come"]
    adopt(target, {"left": {"plan": "pro"}})
    counts = target.counts(1_800, ("plan",))
    assert (counts.events, counts.unknown, counts.by) == (1, 0, {"plan": {"pro": 1}})
    target.advance(NOW + 3_000)
    counts = target.counts(1, ("plan",))
    assert (counts.events, counts.unknown, counts.unknown_users, counts.by) == (1, 1, 1, {"plan": {"pro": 0}})
