"""What every answer has in common, checked in one place."""

from __future__ import annotations

import re

import httpx

from tests.contracts.payloads import PAST_FROM, PAST_TO, Json

PROFILE_ID = re.compile(r"user_[0-9a-z]+")
LEAKS = re.compile(
    r"traceback|exception|psycopg|sqlalchemy|asyncpg|grpc\.aio|<class|\.py\b|select |insert into|line \d+, in",
    re.IGNORECASE,
)


def post_events(api: httpx.Client, body: object, **headers: str) -> httpx.Response:
    """`POST /events` with a JSON body."""
    return api.post("/events", json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def stored(api: httpx.Client, body: object) -> list[Json]:
    """Posts events that must all be accepted as new and be applied at once; returns their results."""
    response = post_events(api, body)
    answer = response.json()
    assert response.status_code == 202, answer
    assert answer["rejected"] == answer["duplicates"] == 0, answer
    assert answer["applied"] is True
    results: list[Json] = answer["results"]
    assert answer["accepted"] == len(results)
    return results


def stored_one(api: httpx.Client, event: Json) -> Json:
    """Posts one event that must be accepted as new; returns its result."""
    (result,) = stored(api, event)
    return result


def person_of(api: httpx.Client, event: Json) -> str:
    """Posts one event that must be accepted; returns the profile it went to."""
    profile = stored_one(api, event)["internal_user_id"]
    assert PROFILE_ID.fullmatch(profile)
    return str(profile)


def rejected_errors(response: httpx.Response) -> dict[str, list[str]]:
    """The `errors` map of a single event that must have been refused with `422`."""
    answer = response.json()
    assert response.status_code == 422, answer
    assert answer["accepted"] == answer["duplicates"] == 0
    assert answer["rejected"] == 1
    (result,) = answer["results"]
    assert result["status"] == "error"
    assert result["message"]
    assert_no_leak(response.text)
    errors: dict[str, list[str]] = result["errors"]
    assert errors, answer
    for field, messages in errors.items():
        assert field
        assert messages
        assert all(message.strip() for message in messages)
    assert answer["errors"] == errors, "a single object repeats its errors at the top level"
    return errors


def assert_names_field(errors: dict[str, list[str]], *fields: str) -> None:
    """At least one of `fields`, or a key inside it (`identifiers.email`), is named by the errors."""
    assert any(named == field or named.startswith(f"{field}.") for named in errors for field in fields), (
        fields,
        errors,
    )


def assert_error(response: httpx.Response, code: int, status: str | None = None) -> Json:
    """The error envelope with this HTTP status; returns the inside of `error`."""
    assert response.status_code == code, (response.status_code, response.text[:500])
    assert response.headers["content-type"].split(";")[0] == "application/json"
    answer = response.json()
    error: Json = answer["error"]
    assert error["code"] == code, answer
    assert re.fullmatch(r"[A-Z][A-Z_]+", error["status"]), answer
    if status is not None:
        assert error["status"] == status
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["details"], list)
    assert_no_leak(response.text)
    return error


def assert_no_leak(text: str) -> None:
    """No stack trace and no text of an exception."""
    assert not LEAKS.search(text), text[:500]


def user(api: httpx.Client, internal_user_id: str) -> Json:
    """`GET /users/{id}`, which must exist."""
    response = api.get(f"/users/{internal_user_id}")
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def match(api: httpx.Client, identifier: str, value: str) -> Json:
    """`GET /debug/match`, which must find somebody."""
    response = api.get("/debug/match", params={"identifier": identifier, "value": value})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def campaign_series(
    api: httpx.Client, campaign_id: str, start: str = PAST_FROM, end: str = PAST_TO, **params: str
) -> list[Json]:
    """The `series` of `GET /stats`, by minute unless `params` say otherwise."""
    response = api.get(
        "/stats", params={"campaign_id": campaign_id, "from": start, "to": end, "granularity": "minute", **params}
    )
    assert response.status_code == 200, response.text
    series: list[Json] = response.json()["series"]
    return series


def campaign_total(api: httpx.Client, campaign_id: str, start: str = PAST_FROM, end: str = PAST_TO) -> tuple[int, int]:
    """Impressions and clicks of a campaign over a range."""
    series = campaign_series(api, campaign_id, start, end)
    return sum(point["impressions"] for point in series), sum(point["clicks"] for point in series)


def metrics(api: httpx.Client, **params: str | int) -> Json:
    """`GET /metrics`, which must answer."""
    response = api.get("/metrics", params=params)
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def identify(api: httpx.Client, **body: object) -> Json:
    """`POST /identify`, which must answer; the flat form, checked to equal the nested one."""
    response = api.post("/identify", json=body)
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    nested = dict(answer["contact"])
    assert nested.pop("primaryContatctId") == nested["primaryContactId"], "both spellings of the id are there"
    assert nested == {name: answer[name] for name in nested}
    assert set(nested) == {"primaryContactId", "emails", "phoneNumbers", "secondaryContactIds"}
    return nested
