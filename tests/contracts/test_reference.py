"""CONTRACT 4: `PUT /reference/users` replaces the whole table at once."""

from __future__ import annotations

import gzip
import json
import threading
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.contracts.answers import assert_error, metrics, stored
from tests.contracts.payloads import Json, activity_event, fresh, from_now, iso

MESSAGE = "Reference table updated successfully"


def replace(api: httpx.Client, users: object, ts: str | None = None) -> Json:
    """Puts a table, by default as of now; the answer, which must be good."""
    response = api.put("/reference/users", json={"user_metadata": users, "ts": ts or from_now(0)})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    assert answer["message"] == MESSAGE
    return answer


def test_the_answer_has_the_message_and_the_generation(api: httpx.Client) -> None:
    answer = replace(api, {"u-123": {"plan": "pro", "region": "eu"}})
    assert answer["message"] == MESSAGE
    assert type(answer["generation"]) is int
    assert answer["generation"] >= 1


def test_the_generation_grows_by_one_with_each_table(api: httpx.Client) -> None:
    first = replace(api, {})["generation"]
    assert [replace(api, {})["generation"] for _ in range(3)] == [first + 1, first + 2, first + 3]
    assert metrics(api)["generation"] == first + 3


def test_an_older_table_is_refused_and_changes_nothing(api: httpx.Client) -> None:
    name, plan = fresh("u"), fresh("plan")
    stored(api, activity_event(user_id=name))
    now = datetime.now(UTC)
    generation = replace(api, {name: {"plan": plan}}, iso(now))["generation"]
    for back in (timedelta(milliseconds=1), timedelta(days=1000)):
        response = api.put("/reference/users", json={"user_metadata": {}, "ts": iso(now - back)})
        assert_error(response, 409)
    answer = metrics(api)
    assert answer["by_plan"] == {plan: 1}
    assert answer["generation"] == generation


def test_an_equal_time_is_accepted(api: httpx.Client) -> None:
    name, now = fresh("u"), from_now(0)
    first = replace(api, {name: {"plan": "old"}}, now)["generation"]
    assert replace(api, {name: {"plan": "new"}}, now)["generation"] == first + 1
    assert set(metrics(api)["by_plan"]) == {"new"}


def test_an_equal_time_in_another_offset_is_equal(api: httpx.Client) -> None:
    now = datetime.now(UTC)
    replace(api, {}, iso(now))
    replace(api, {}, (now + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.%f+02:00"))
    assert_error(
        api.put(
            "/reference/users",
            json={"user_metadata": {}, "ts": (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%f+02:00")},
        ),
        409,
    )


def test_the_whole_table_is_replaced(api: httpx.Client) -> None:
    gone, stays = fresh("u"), fresh("u")
    stored(api, [activity_event(user_id=gone), activity_event(user_id=stays)])
    replace(api, {gone: {"plan": "a"}, stays: {"plan": "b"}})
    assert metrics(api)["by_plan"] == {"a": 1, "b": 1}
    replace(api, {stays: {"plan": "c"}})
    assert metrics(api)["by_plan"] == {"c": 1}
    assert metrics(api)["unique_users"] == 1


def test_an_empty_table_knows_nobody(api: httpx.Client) -> None:
    stored(api, activity_event())
    replace(api, {})
    answer = metrics(api)
    assert (answer["by_plan"], answer["by_region"], answer["unique_users"]) == ({}, {}, 0)
    assert answer["unknown"] >= 1


def test_attributes_are_not_limited_to_plan_and_region(api: httpx.Client) -> None:
    name = fresh("u")
    stored(api, [activity_event(user_id=name)] + [activity_event(user_id=name) for _ in range(2)])
    replace(api, {name: {"plan": "pro", "tier of care": "gold", "Ünï": "ä", "team": "blue"}})
    assert metrics(api, group_by="team")["by_team"] == {"blue": 3}
    assert metrics(api, group_by="tier of care")["by_tier of care"] == {"gold": 3}
    assert metrics(api, group_by="Ünï")["by_Ünï"] == {"ä": 3}


def test_a_user_may_have_no_attributes(api: httpx.Client) -> None:
    name = fresh("u")
    stored(api, activity_event(user_id=name))
    replace(api, {name: {}})
    answer = metrics(api)
    assert (answer["unique_users"], answer["by_plan"]) == (1, {})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_metadata": {}},
        {"ts": "NOW"},
        {"user_metadata": {}, "ts": None},
        {"user_metadata": {}, "ts": ""},
        {"user_metadata": {}, "ts": "yesterday"},
        {"user_metadata": {}, "ts": "2025-10-08T12:00:00"},
        {"user_metadata": {}, "ts": "2025-10-08"},
        {"user_metadata": {}, "ts": 1759924800},
        {"user_metadata": None, "ts": "NOW"},
        {"user_metadata": [], "ts": "NOW"},
        {"user_metadata": "all", "ts": "NOW"},
        {"user_metadata": {"u": "pro"}, "ts": "NOW"},
        {"user_metadata": {"u": ["pro"]}, "ts": "NOW"},
        {"user_metadata": {"u": {"plan": {"name": "pro"}}}, "ts": "NOW"},
        {"user_metadata": {"u": {"plan": ["pro"]}}, "ts": "NOW"},
        {"user_metadata": {"u\x00": {"plan": "pro"}}, "ts": "NOW"},
        {"user_metadata": {"u": {"plan": "p\x00"}}, "ts": "NOW"},
        {"user_metadata": {"u": {"pl\x00an": "p"}}, "ts": "NOW"},
        {"user_metadata": {"u": {"plan": "\ud800"}}, "ts": "NOW"},
        {"user_metadata": {"\ud800": {}}, "ts": "NOW"},
        [],
        "text",
        None,
    ],
    ids=lambda body: ascii(body)[:60],
)
def test_a_table_of_another_form_is_refused_and_changes_nothing(api: httpx.Client, body: object) -> None:
    plan, name = fresh("plan"), fresh("u")
    generation = replace(api, {name: {"plan": plan}})["generation"]
    if isinstance(body, dict) and body.get("ts") == "NOW":
        body = {**body, "ts": from_now(0)}
    assert_error(api.put("/reference/users", content=json.dumps(body)), 400, "INVALID_ARGUMENT")
    answer = metrics(api)
    assert (answer["generation"], answer["by_plan"]) == (generation, {plan: 0})


def test_null_attributes_and_scalars_are_answered(api: httpx.Client) -> None:
    for value in (None, 7, 1.5, True, ""):
        body = {"user_metadata": {fresh("u"): {"plan": value}}, "ts": from_now(0)}
        assert api.put("/reference/users", json=body).status_code in (200, 400)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("users", [2, 20_000])
def test_a_gzip_body_is_read_to_its_last_member(api: httpx.Client, method: str, users: int) -> None:
    prefix = fresh("u")
    table = {f"{prefix}-{number}": {"plan": "pro", "region": f"r{number % 7}"} for number in range(users)}
    replace(api, {})
    body = json.dumps({"user_metadata": table, "ts": from_now(0)}).encode()
    packed = gzip.compress(body[:50]) + gzip.compress(body[50:])
    damaged = [packed[:-8], packed[:-1], packed[:-8] + b"\0\0\0\0" + packed[-4:], packed + b"\0", b""]
    for wrong in damaged:
        response = api.request(method, "/reference/users", content=wrong, headers={"content-encoding": "gzip"})
        assert_error(response, 400)
    assert api.get("/reference").json()["users"] == 0
    response = api.request(method, "/reference/users", content=packed, headers={"content-encoding": "x-gzip"})
    assert response.status_code == 200, response.text
    assert api.get("/reference").json()["users"] == users


def test_a_gzip_body_over_64_mib_inflated_is_refused(api: httpx.Client) -> None:
    packed = gzip.compress(b" " * (64 * 1024 * 1024 + 1), 1)
    assert_error(api.put("/reference/users", content=packed, headers={"content-encoding": "gzip"}), 413)


def test_readers_see_the_old_table_or_the_new_one_never_a_mixture(api: httpx.Client, crowd: httpx.Client) -> None:
    names = [fresh("u") for _ in range(50)]
    stored(api, [activity_event(user_id=name) for name in names])
    labels: dict[int, str] = {}

    def put(number: int) -> None:
        label = f"table-{number}"
        table = {name: {"plan": label, "region": label} for name in names}
        labels[replace(api, table)["generation"]] = label

    put(0)
    done = threading.Event()
    seen: list[Json] = []
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                seen.append(metrics(crowd))
        except BaseException as failure:
            failures.append(failure)
            raise

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, 21):
            put(number)
            assert metrics(api)["by_plan"] == {f"table-{number}": 50}, "a writer reads what it wrote"
    finally:
        done.set()
        for reader in readers:
            reader.join(30)
    assert not failures
    assert len(seen) > 20
    for answer in seen:
        label = labels[answer["generation"]]
        assert answer["by_plan"] == answer["by_region"] == {label: 50}
        assert answer["unique_users"] == 50


def test_parallel_writers_leave_one_whole_table(api: httpx.Client, crowd: httpx.Client) -> None:
    now = datetime.now(UTC)
    generations: dict[int, int] = {}

    def put(number: int) -> None:
        table = {f"nobody-{n}": {"plan": f"w-{number}"} for n in range(200)}
        body = {"user_metadata": table, "ts": iso(now + timedelta(microseconds=number))}
        response = crowd.put("/reference/users", json=body)
        assert response.status_code in (200, 409), response.text
        if response.status_code == 200:
            generations[number] = response.json()["generation"]

    writers = [threading.Thread(target=put, args=(number,)) for number in range(12)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert metrics(api)["by_plan"] == {"w-11": 0}, "the newest table stands"
    order = sorted(generations, key=generations.__getitem__)
    assert order == sorted(order), "no older table came after a newer one"
    assert len(set(generations.values())) == len(generations)


def test_a_body_over_64_mib_is_refused(api: httpx.Client) -> None:
    generation = replace(api, {})["generation"]
    body = b'{"ts":"' + from_now(0).encode() + b'","user_metadata":{}' + b" " * (64 * 1024 * 1024) + b"}"
    assert_error(api.put("/reference/users", content=body), 413)
    assert metrics(api)["generation"] == generation


def test_a_million_users_in_one_request(api: httpx.Client) -> None:
    names = [fresh("u") for _ in range(3)]
    stored(api, [activity_event(user_id=name) for name in names])
    plans = ("free", "pro", "team")
    entries = [f'"bulk-{n:07d}":{{"plan":"{plans[n % 3]}","region":"r{n % 20}"}}' for n in range(999_997)]
    entries += [f'"{name}":{{"plan":"pro","region":"eu"}}' for name in names]
    body = f'{{"user_metadata":{{{",".join(entries)}}},"ts":"{from_now(0)}"}}'.encode()
    assert len(body) < 64 * 1024 * 1024
    response = api.put("/reference/users", content=body, timeout=100)
    assert response.status_code == 200, response.text
    answer = metrics(api)
    assert answer["generation"] == response.json()["generation"]
    assert answer["by_plan"] == {"free": 0, "pro": 3, "team": 0}
    assert answer["by_region"] == {"eu": 3} | {f"r{n}": 0 for n in range(20)}
    assert answer["unique_users"] == 3
    replace(api, {})
