"""The OpenAPI document tells the truth: its examples work as requests, and what comes back is what it describes.

Examples go out with ids and identifiers that nobody else uses, and with the time of now where only now is valid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from jsonschema import Draft202012Validator

from dmp_stack.programs import repository_root
from tests.contracts.payloads import Json, fresh, fresh_email, fresh_phone, fresh_wallet, from_now

DOCUMENT: Json = json.loads((repository_root() / "gateway" / "openapi.json").read_text())

MERGE = "01a20333-7b56-7ae1-8de8-070b044a4fea"
NEVER_MERGE = "01a20333-7ce0-7a56-9e27-0b9636ada9bf"
ERASURE = "0a4d9a06-9f04-4c0f-8a3b-9f1f7a3f2a10"
"""Ids in the document that only the system can give."""

STATUSES = {
    "publishEvents": {202},
    "getEvent:event_id=unknown": {404},
    "replaceReferenceUsers": {200, 409},
    "updateReferenceUsers": {200, 409},
}
"""What the examples of an operation, or one of them, are answered with; by default 200."""

BAD_REQUESTS: list[tuple[str, str, bytes | None, int]] = [
    ("post", "/events", b"{", 400),
    ("post", "/events", b'{"event_id": "e"}', 422),
    ("post", "/events", b" " * (8 * 1024 * 1024 + 1), 413),
    ("get", "/users/user_nobody", None, 404),
    ("get", "/users/user_nobody?page_size=-1", None, 400),
    ("get", "/debug/match", None, 400),
    ("get", "/debug/match?identifier=email&value=nobody@example.net", None, 404),
    ("post", "/merge", b"{}", 400),
    ("post", "/merge", b'{"internal_user_ids": ["user_nobody1", "user_nobody2"]}', 404),
    ("post", "/merge", b" " * (1024 * 1024 + 1), 413),
    ("post", "/identify", b"{}", 400),
    ("get", "/stats", None, 400),
    ("get", "/metrics?window=0", None, 400),
    ("get", "/metrics?window=wide", None, 400),
    ("put", "/reference/users", b"{}", 400),
    ("put", "/reference/users", b'{"user_metadata": {}, "ts": "1999-01-01T00:00:00Z"}', 409),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A request as the document describes it."""

    name: str
    method: str
    template: str
    path_values: Json = field(default_factory=dict)
    query: Json = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"

    @property
    def statuses(self) -> set[int]:
        return STATUSES.get(self.name) or STATUSES.get(self.name.partition(":")[0]) or {200}


def resolved(value: Json) -> Json:
    """What a reference stands for."""
    while "$ref" in value:
        found = DOCUMENT
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def examples() -> Iterator[Example]:
    """A request for each example of a body, and one for each example of a parameter beside what is required."""
    for template, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            parameters = [resolved(parameter) for parameter in operation.get("parameters", [])]
            required = [
                (parameter, next(iter(parameter["examples"].values()))["value"])
                for parameter in parameters
                if parameter.get("required")
            ]
            chosen: list[tuple[str, list[tuple[Json, Any]]]] = [("", [])]
            for parameter in parameters:
                for name, example in parameter.get("examples", {}).items():
                    chosen.append((f":{parameter['name']}={name}", [(parameter, example["value"])]))
            bodies = [
                (f":{kind}/{name}", kind, example["value"])
                for kind, content in operation.get("requestBody", {}).get("content", {}).items()
                for name, example in content["examples"].items()
            ]
            for suffix, kind, body in bodies or [("", "application/json", None)]:
                for label, values in chosen if suffix in ("", bodies[0][0] if bodies else "") else chosen[:1]:
                    yield example_of(
                        f"{operation['operationId']}{suffix}{label}", method, template, [*required, *values], body, kind
                    )


def example_of(
    name: str, method: str, template: str, values: list[tuple[Json, Any]], body: object, content_type: str
) -> Example:
    by_place: dict[str, Json] = {"path": {}, "query": {}, "header": {}}
    for parameter, value in values:
        by_place[parameter["in"]][parameter["name"]] = value
    return Example(
        name=name,
        method=method,
        template=template,
        path_values=by_place["path"],
        query=by_place["query"],
        headers=by_place["header"],
        body=body,
        content_type=content_type,
    )


def own_values() -> dict[str, str]:
    """Fresh values for those of the document that others may use too."""
    return {
        "1f5a9d3c-0000-0000-0000-000000000000": fresh("event"),
        "2a7b8c9d-1111-2222-3333-444444444444": fresh("event"),
        "5c0f3f5e-9c3b-4a53-8d3b-0d6f4b0a7a11": fresh("event"),
        "8e03978e-40d5-43e8-bc93-6894a57f9324": fresh("key"),
        "a@b.com": fresh_email(),
        "mcfly@hillvalley.edu": fresh_email(),
        "foo@bar.com": fresh_email(),
        "+919999999999": fresh_phone(),
        '"phoneNumber": "123456"': f'"phoneNumber": "{fresh_phone()}"',
        "0xABC123": fresh_wallet(),
        "browser_001": fresh("browser"),
        "u_999": fresh("u"),
        "u_1001": fresh("u"),
        "camp_123": fresh("camp"),
    }


def with_values(value: Any, values: dict[str, str]) -> Any:  # noqa: ANN401  # any JSON
    """A copy of `value` with the documented values replaced, all at once."""
    documented = "|".join(re.escape(text) for text in values)
    return json.loads(re.sub(documented, lambda match: values[match[0]], json.dumps(value)))


def asked(api: httpx.Client, method: str, path: str, body: object = None) -> Json:
    """The answer to a request that must succeed."""
    response = api.request(method, path, json=body)
    assert response.status_code in (200, 202), response.text
    answer: Json = response.json()
    return answer


def prepared(api: httpx.Client, example: Example) -> dict[str, str]:
    """Values for the example, and in the system what it speaks of: people, a merge, an erasure, a reference table."""
    values = own_values()
    spoken_of = json.dumps([example.path_values, example.query, example.body])
    events = DOCUMENT["paths"]["/events"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for name, documented in (("analytics_script", "user_1"), ("click", "user_2")):
        if example.template != "/events":
            answer = asked(api, "post", "/events", with_values(events[name]["value"], values))
            values[documented] = answer["results"][0]["internal_user_id"]
    people = {"internal_user_ids": [values.get("user_1"), values.get("user_2")], "reason": "example"}
    if MERGE in spoken_of:
        values[MERGE] = asked(api, "post", "/merge", people)["merge_id"]
    if NEVER_MERGE in spoken_of:
        values[NEVER_MERGE] = asked(api, "post", "/never-merges", people)["never_merge"]["never_merge_id"]
    if ERASURE in spoken_of:
        values[ERASURE] = asked(api, "delete", f"/users/{values['user_1']}")["receipt"]["erasure_id"]
    if example.template == "/reference/users/{user_id}":
        asked(api, "put", "/reference/users", {"user_metadata": {"u-123": {"plan": "pro"}}, "ts": from_now(0)})
    return values


def assert_described(method: str, template: str, response: httpx.Response) -> None:
    """The document names this status for this path, and the answer has its type and fits its schema."""
    responses = DOCUMENT["paths"][template][method]["responses"]
    assert str(response.status_code) in responses, response.text
    described = resolved(responses[str(response.status_code)])["content"]
    kind = response.headers["content-type"].partition(";")[0]
    assert kind in described
    if kind == "application/json":
        schema = {**described[kind]["schema"], "components": DOCUMENT["components"]}
        assert [error.message for error in Draft202012Validator(schema).iter_errors(response.json())] == []


def test_the_gateway_serves_this_document(api: httpx.Client) -> None:
    assert api.get("/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize("example", [*examples()], ids=lambda example: example.name)
def test_an_example_of_the_document_works(api: httpx.Client, example: Example) -> None:
    values, path = prepared(api, example), example.template
    for name, value in with_values(example.path_values, values).items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    body = with_values(example.body, values)
    for event in body if isinstance(body, list) else [body]:
        if isinstance(event, dict) and "user_id" in event and "ts" in event:
            event["ts"] = from_now(0)
    response = api.request(
        example.method,
        path,
        params=with_values(example.query, values) | ({"seconds": 1} if example.template == "/live" else {}),
        headers={"content-type": example.content_type, **with_values(example.headers, values)},
        content=body if isinstance(body, str) else None if body is None else json.dumps(body),
    )
    assert response.status_code in example.statuses, response.text
    assert_described(example.method, example.template, response)


@pytest.mark.parametrize(("method", "path", "body", "status"), BAD_REQUESTS)
def test_a_refusal_is_as_the_document_describes_it(
    api: httpx.Client, method: str, path: str, body: bytes | None, status: int
) -> None:
    if status == 409:
        assert api.put("/reference/users", json={"user_metadata": {}, "ts": from_now(0)}).status_code == 200
    response = api.request(method, path, content=body)
    assert response.status_code == status, response.text
    template = path.partition("?")[0].replace("user_nobody", "{internal_user_id}")
    assert_described(method, template, response)


def test_csv_is_as_the_document_describes_it(api: httpx.Client) -> None:
    query = {"campaign_id": fresh("camp"), "from": "2026-02-10T21:10:00Z", "to": "2026-02-10T21:20:00Z"}
    response = api.get("/stats", params=query, headers={"accept": "text/csv"})
    assert response.status_code == 200
    assert_described("get", "/stats", response)


def test_a_point_of_a_group_has_what_the_document_names(api: httpx.Client) -> None:
    campaign = fresh("camp")
    event = {"event_id": fresh("e"), "type": "click", "campaign_id": campaign, "source": "web"}
    assert api.post("/events", json={**event, "occurred_at": "2026-02-10T21:10:00Z"}).status_code == 202
    query = {"campaign_id": campaign, "from": "2026-02-10T21:00:00Z", "to": "2026-02-10T22:00:00Z"}
    (point,) = api.get("/stats", params={**query, "group_by": "source"}).json()["series"]
    assert point.keys() == DOCUMENT["components"]["schemas"]["StatsPoint"]["properties"].keys()
    answers = DOCUMENT["paths"]["/stats"]["get"]["responses"]["200"]["content"]["application/json"]["examples"]
    (example,) = answers["by_source"]["value"]["series"]
    assert example.keys() == point.keys()
