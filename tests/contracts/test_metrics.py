"""CONTRACT 4: `GET /metrics`, enriched at read time with the reference table."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.contracts.answers import assert_error, metrics, stored
from tests.contracts.payloads import Json, activity_event, campaign_event, fresh, from_now, identified_event


def know(api: httpx.Client, users: dict[str, dict[str, str]]) -> None:
    """Makes `users` the reference table."""
    response = api.put("/reference/users", json={"user_metadata": users, "ts": from_now(0)})
    assert response.status_code == 200, response.text


def active(api: httpx.Client, name: str, times: int) -> None:
    stored(api, [activity_event(user_id=name) for _ in range(times)])


def test_the_answer_has_the_fields_of_the_source(api: httpx.Client) -> None:
    pro, free, stranger = fresh("u"), fresh("u"), fresh("u")
    know(api, {pro: {"plan": "pro", "region": "eu"}, free: {"plan": "free", "region": "us"}})
    before = metrics(api, window=1800)
    active(api, pro, 2)
    active(api, free, 4)
    active(api, stranger, 3)
    answer = metrics(api, window=1800)
    assert answer["window_sec"] == 1800
    assert metrics(api)["window_sec"] == 300
    assert answer["unique_users"] == 2
    assert answer["by_plan"] == {"free": 4, "pro": 2}
    assert answer["by_region"] == {"us": 4, "eu": 2}
    assert answer["unknown"] - before["unknown"] == 3
    assert answer["unknown_users"] - before["unknown_users"] == 1
    assert answer["events_per_sec"] > before["events_per_sec"]
    assert type(answer["generation"]) is int


def test_events_per_second_are_the_events_of_the_window_by_its_length(api: httpx.Client) -> None:
    name = fresh("u")
    know(api, {name: {"plan": "pro"}})
    active(api, name, 600)
    for window in (60, 300, 1800):
        answer = metrics(api, window=window)
        total = answer["by_plan"]["pro"] + answer["unknown"]
        assert answer["events_per_sec"] == pytest.approx(total / window, abs=0.051)


def test_groups_count_events_and_unique_users_count_people(api: httpx.Client) -> None:
    names = [fresh("u") for _ in range(4)]
    know(api, {name: {"plan": "pro", "region": "eu"} for name in names})
    for times, name in enumerate(names[:3], start=1):
        active(api, name, times)
    answer = metrics(api)
    assert answer["by_plan"] == {"pro": 6}
    assert answer["unique_users"] == 3


def test_every_known_value_is_listed_with_zero_when_nothing_fell_on_it(api: httpx.Client) -> None:
    know(api, {fresh("u"): {"plan": plan, "region": "eu"} for plan in ("a", "b", "c")})
    answer = metrics(api)
    assert answer["by_plan"] == {"a": 0, "b": 0, "c": 0}
    assert answer["by_region"] == {"eu": 0}
    assert answer["unique_users"] == 0


def test_up_to_a_thousand_values_are_listed(api: httpx.Client) -> None:
    know(api, {fresh("u"): {"plan": "p", "region": f"r{number}"} for number in range(1000)})
    assert len(metrics(api)["by_region"]) == 1000
    name = fresh("u")
    active(api, name, 2)
    know(
        api,
        {f"x{number}": {"plan": "p", "region": f"r{number:05d}"} for number in range(3000)}
        | {name: {"plan": "p", "region": "zzz"}},
    )
    listed = metrics(api)["by_region"]
    assert len(listed) <= 1001
    assert listed["zzz"] == 2, "a value on which events fell is never the one left out"


def test_any_attribute_can_be_grouped_by(api: httpx.Client) -> None:
    names = [fresh("u") for _ in range(3)]
    know(
        api,
        {
            names[0]: {"plan": "pro", "team": "blue"},
            names[1]: {"plan": "pro", "team": "red"},
            names[2]: {"plan": "pro"},
        },
    )
    for name in names:
        active(api, name, 2)
    answer = metrics(api, group_by="team")
    assert answer["by_team"] == {"blue": 2, "red": 2}
    assert answer["by_plan"] == {"pro": 6}
    assert "by_region" in answer
    assert "by_team" not in metrics(api)


def test_an_attribute_that_nobody_has_is_empty(api: httpx.Client) -> None:
    know(api, {fresh("u"): {"plan": "pro"}})
    answer = metrics(api, group_by="shoe_size")
    assert answer["by_shoe_size"] == {}
    assert answer["by_region"] == {}


def test_a_new_table_relabels_what_is_already_in_the_window(api: httpx.Client) -> None:
    name = fresh("u")
    know(api, {name: {"plan": "free"}})
    active(api, name, 3)
    assert metrics(api)["by_plan"] == {"free": 3}
    know(api, {name: {"plan": "pro"}})
    assert metrics(api)["by_plan"] == {"pro": 3}
    know(api, {})
    unknown = metrics(api, window=1800)["unknown"]
    know(api, {name: {"plan": "pro"}})
    assert metrics(api, window=1800)["unknown"] == unknown - 3


def test_users_become_known_after_their_events(api: httpx.Client) -> None:
    name = fresh("u")
    know(api, {})
    active(api, name, 2)
    know(api, {name: {"plan": "late"}})
    answer = metrics(api)
    assert (answer["by_plan"], answer["unique_users"]) == ({"late": 2}, 1)


def test_every_form_counts_if_it_has_a_user_id(api: httpx.Client) -> None:
    name = fresh("u")
    know(api, {name: {"plan": "pro"}})
    stored(
        api,
        [
            activity_event(user_id=name),
            campaign_event(user_id=name, occurred_at=from_now(-1)),
            identified_event(user_id=name, timestamp=time.time() - 1),
        ],
    )
    assert metrics(api)["by_plan"] == {"pro": 3}


def test_every_type_counts(api: httpx.Client) -> None:
    name = fresh("u")
    know(api, {name: {"plan": "pro"}})
    kinds = ("impression", "click", "view", "purchase", "page_view", "form_submit", "session_start", "session_end")
    stored(api, [activity_event(user_id=name, type=kind) for kind in kinds])
    assert metrics(api)["by_plan"] == {"pro": len(kinds)}


def test_events_without_a_user_id_do_not_count(api: httpx.Client) -> None:
    know(api, {})
    before = metrics(api, window=1800)
    stored(api, [campaign_event(occurred_at=from_now(0)) for _ in range(5)])
    after = metrics(api, window=1800)
    assert (after["unknown"], after["unknown_users"]) == (before["unknown"], before["unknown_users"])


def test_duplicates_and_refused_events_do_not_count(api: httpx.Client) -> None:
    name = fresh("u")
    know(api, {name: {"plan": "pro"}})
    event = activity_event(user_id=name)
    for body in (event, [event, event], activity_event(user_id=name, type="nonsense")):
        api.post("/events", json=body)
    assert metrics(api)["by_plan"] == {"pro": 1}


def test_user_ids_are_compared_trimmed_and_exactly(api: httpx.Client) -> None:
    name = fresh("User")
    know(api, {name: {"plan": "right"}, name.lower(): {"plan": "other"}})
    active(api, name, 2)
    active(api, f"  {name} ", 1)
    assert metrics(api)["by_plan"] == {"right": 3, "other": 0}


@pytest.mark.parametrize("window", ["0", "-1", "1801", "abc", "1.5", "3e2", "99999999999", "١٢", "0x10", " ", "5 5"])
def test_a_bad_window_is_refused(api: httpx.Client, window: str) -> None:
    assert_error(api.get("/metrics", params={"window": window}), 400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("window", [1, 2, 299, 300, 1799, 1800])
def test_a_good_window_is_repeated(api: httpx.Client, window: int) -> None:
    answer: Json = metrics(api, window=window)
    assert answer["window_sec"] == window
