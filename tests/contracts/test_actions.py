"""`GET /admin/actions`: what was decided in all three services, in one order, for good and without personal values."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from dmp_ingest.domain.action_kinds import ACTION_KINDS
from tests.conditions import wait_until
from tests.contracts.answers import assert_error, person_of
from tests.contracts.payloads import Json, fresh, fresh_email, from_now, identified_event

WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def asked(api: httpx.Client, method: str, path: str, **body: object) -> Json:
    answer: Json = api.request(method, path, json=body or None).raise_for_status().json()
    return answer


def page(api: httpx.Client, **query: str | int) -> Json:
    answer: Json = api.get("/admin/actions", params=query).raise_for_status().json()
    return answer


def told(action: Json) -> tuple[str, str]:
    return action["kind"], action["result"]


@pytest.fixture
def since() -> str:
    return from_now(0)


@pytest.fixture
def two(api: httpx.Client) -> tuple[str, str]:
    """Two people."""
    one, other = (person_of(api, identified_event(identifiers={"email": fresh_email()})) for _ in range(2))
    return one, other


def test_each_act_is_told_the_newest_first_and_one_that_did_nothing_as_such(
    api: httpx.Client, since: str, two: tuple[str, str]
) -> None:
    reason, people = fresh("because"), {"internal_user_ids": list(two)}
    merge_id = asked(api, "POST", "/merge", **people, reason=reason)["merge_id"]
    asked(api, "POST", "/merge", **people, reason=reason)
    for _ in range(2):
        asked(api, "POST", f"/merges/{merge_id}:undo", reason=reason)
    kept = asked(api, "POST", "/never-merges", **people, reason=reason)["never_merge"]["never_merge_id"]
    for _ in range(2):
        asked(api, "POST", f"/never-merges/{kept}:remove", reason=reason)
    actions = [action for action in page(api, **{"from": since})["actions"] if action["reason"] == reason]
    assert [told(action) for action in actions] == [
        ("remove_never_merge", "unchanged"),
        ("remove_never_merge", "done"),
        ("create_never_merge", "done"),
        ("undo_merge", "unchanged"),
        ("undo_merge", "done"),
        ("merge_profiles", "unchanged"),
        ("merge_profiles", "done"),
    ]
    for action in actions:
        assert set(action["internal_user_ids"]) == set(two)
        assert action["actor"] == "-", "nobody is asked for a key here"
        assert WHEN.fullmatch(action["acted_at"])
    assert actions[-1]["refs"] == {"merge_id": merge_id, "survivor": two[0]}
    assert actions[4]["refs"] == {"merge_id": merge_id}
    assert actions[4]["counts"] == {"people": 2, "never_merges": 1}


def test_acts_on_identifiers_name_their_type_and_never_their_value(api: httpx.Client, since: str) -> None:
    email, phone, user_id = fresh_email(), "+49301234" + str(abs(hash(since)))[:6], fresh("u")
    person = person_of(api, identified_event(identifiers={"email": email, "phone": phone, "user_id": user_id}))
    given = {"identifier": "email", "value": email, "reason": "a typing mistake"}
    detached = asked(api, "POST", f"/users/{person}/identifiers:detach", **given)
    for _ in range(2):
        asked(api, "POST", f"/users/{person}/identifiers:attach", **given)
    asked(api, "POST", "/debug/shared:undo", identifier="phone", value=phone, reason="the desk's")
    answer = page(api, **{"from": since})
    actions = [action for action in answer["actions"] if person in action["internal_user_ids"]]
    assert [told(action) for action in actions] == [
        ("undo_shared_value", "done"),
        ("attach_identifier", "unchanged"),
        ("attach_identifier", "done"),
        ("detach_identifier", "done"),
    ]
    assert detached["detached_user_id"] in actions[-1]["internal_user_ids"]
    assert [action["refs"]["identifier"] for action in actions] == ["phone", "email", "email", "email"]
    assert not [value for value in (email, phone, user_id) if value in str(answer)]


def test_acts_on_the_reference_table_are_told_with_its_generation(api: httpx.Client, since: str) -> None:
    user = fresh("u")
    table = {"user_metadata": {user: {"plan": "pro"}}}
    put = asked(api, "PUT", "/reference/users", **table, ts=from_now(0))
    changed = asked(api, "PATCH", "/reference/users", **table, ts=from_now(0))
    answer = page(api, **{"from": since})
    found = {told(a): a for a in answer["actions"] if a["kind"].endswith("_reference")}
    assert found["replace_reference", "done"]["refs"]["generation"] == str(put["generation"])
    assert found["replace_reference", "done"]["counts"] == {"users": 1}
    assert found["update_reference", "done"]["refs"]["generation"] == str(changed["generation"])
    assert user not in str(answer)


def test_a_refused_act_is_none(api: httpx.Client, since: str, two: tuple[str, str]) -> None:
    reason = fresh("because")
    asked(api, "POST", "/never-merges", internal_user_ids=list(two), reason="not the same")
    body = {"internal_user_ids": list(two), "reason": reason}
    assert api.post("/merge", json=body).status_code == 409
    assert api.post("/merge", json={**body, "internal_user_ids": [two[0], "user_zzzzzzz"]}).status_code == 404
    assert reason not in str(page(api, **{"from": since}))


def test_an_erasure_is_told_when_it_is_asked_for_and_when_it_is_complete_and_takes_reasons_with_it(
    api: httpx.Client, since: str
) -> None:
    email = fresh_email()
    person = person_of(api, identified_event(identifiers={"email": email}))
    one, other = (person_of(api, identified_event(identifiers={"email": fresh_email()})) for _ in range(2))
    about, naming, kept = (fresh("because") for _ in range(3))
    asked(api, "POST", "/never-merges", internal_user_ids=[person, one], reason=about)
    asked(api, "POST", "/never-merges", internal_user_ids=[other, one], reason=f"{naming}: {email.upper()} said so")
    asked(api, "POST", "/never-merges", internal_user_ids=[other, one], reason=kept)
    assert "requested" not in str([a["result"] for a in page(api, **{"from": since})["actions"]]), "nothing yet"
    receipt = asked(api, "DELETE", f"/users/{person}?dry_run=true")["receipt"]
    assert receipt["dry_run"]
    receipt = asked(api, "DELETE", f"/users/{person}")["receipt"]
    path = f"/erasures/{receipt['erasure_id']}"
    wait_until(lambda: api.get(path).json()["receipt"]["complete"], "the erasure is complete", timeout_seconds=60)

    answer = page(api, **{"from": since})
    erased = [action for action in answer["actions"] if action["refs"].get("erasure_id") == receipt["erasure_id"]]
    assert [told(action) for action in erased] == [("erase_person", "complete"), ("erase_person", "requested")]
    assert [action["internal_user_ids"] for action in erased] == [[person], [person]]
    assert erased[0]["counts"]["timeline_entries"] == 1
    reasons = [action["reason"] for action in answer["actions"] if action["kind"] == "create_never_merge"]
    assert reasons == [kept, "", ""]
    assert not [text for text in (email, about, naming) if text.lower() in str(answer).lower()]
    history = asked(api, "GET", f"/users/{one}/merges")
    assert [never["reason"] for never in history["never_merges"]] == ["", kept], "the person's own is gone, too"


def test_an_erasure_of_nobody_is_told_without_the_value(api: httpx.Client, since: str) -> None:
    email = fresh_email()
    assert api.post("/erasures", json={"identifier": "email", "value": email}).status_code == 404
    answer = page(api, **{"from": since, "kind": "erase_person"})
    nobody = [action for action in answer["actions"] if action["result"] == "nobody"]
    assert nobody
    requested = [action for action in answer["actions"] if action["refs"] == nobody[0]["refs"]]
    assert [action["result"] for action in requested] == ["nobody", "requested"]
    assert email not in str(answer)


def test_pages_of_all_services_have_each_act_once_in_order(api: httpx.Client, two: tuple[str, str], since: str) -> None:
    for number in range(3):
        asked(api, "POST", "/merge", internal_user_ids=[two[0], two[0]], reason=f"{number}")
        asked(api, "PUT", "/reference/users", user_metadata={}, ts=from_now(0))
        assert api.delete("/users/user_zzzzzzz").status_code == 404
    until = from_now(0)
    whole = page(api, **{"from": since, "to": until}, page_size=1000)
    assert not whole["next_page_token"]
    assert [told(action) for action in whole["actions"][:4]] == [
        ("erase_person", "nobody"),
        ("erase_person", "requested"),
        ("replace_reference", "done"),
        ("merge_profiles", "unchanged"),
    ]
    for size in (1, 5):
        found: list[Any] = []
        query: dict[str, str | int] = {"from": since, "to": until, "page_size": size}
        part = page(api, **query)
        while part["next_page_token"]:
            assert len(part["actions"]) == size
            found += part["actions"]
            part = page(api, **query, page_token=part["next_page_token"])
        assert [*found, *part["actions"]] == whole["actions"]


def test_filters_choose_by_kind_and_actor(api: httpx.Client, two: tuple[str, str], since: str) -> None:
    asked(api, "POST", "/merge", internal_user_ids=list(two))
    asked(api, "PUT", "/reference/users", user_metadata={}, ts=from_now(0))
    merges = page(api, **{"from": since, "kind": "merge_profiles", "actor": "-"})["actions"]
    assert {action["kind"] for action in merges} == {"merge_profiles"}
    assert page(api, actor="nobody-of-this-name")["actions"] == []
    assert page(api, to="2020-01-01T00:00:00Z")["actions"] == []
    assert {action["kind"] for action in page(api, page_size=1000)["actions"]} <= set(ACTION_KINDS)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"kind": "merge"}, "kind"),
        ({"from": "yesterday"}, "from"),
        ({"to": "1"}, "to"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
        ({"page_token": "x"}, "page_token"),
        ({"page_size": "-1"}, "page_size"),
        ({"actor": "x" * 65}, "actor"),
    ],
)
def test_a_bad_query_is_refused_and_the_field_is_named(api: httpx.Client, query: dict[str, str], field: str) -> None:
    error = assert_error(api.get("/admin/actions", params=query), 400)
    assert field in str(error)


@pytest.mark.parametrize("reason", ["x" * 1001, "a\0b"])
def test_a_reason_is_bounded(api: httpx.Client, two: tuple[str, str], reason: str) -> None:
    error = assert_error(api.post("/merge", json={"internal_user_ids": list(two), "reason": reason}), 400)
    assert "reason" in str(error)
