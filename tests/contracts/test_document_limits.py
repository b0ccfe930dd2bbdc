"""The limits and kinds in the OpenAPI document are those of the services: asked at each limit, and one beyond it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.contracts.answers import person_of
from tests.contracts.payloads import Json, fresh, fresh_email, from_now, identified_event
from tests.contracts.test_openapi import DOCUMENT, examples, own_values, prepared, resolved, with_values

INT32_MOST = 2**31 - 1
QUESTIONS = {
    "/stats": {"campaign_id": "c", "from": "2026-02-10T21:10:00Z", "to": "2026-02-10T21:20:00Z"},
    "/campaigns": {"from": "2026-02-10T21:10:00Z", "to": "2026-02-10T21:20:00Z"},
    "/live": {"seconds": "1"},
}


def parameters_with(*keys: str) -> Iterator[tuple[str, Json]]:
    for template, operations in DOCUMENT["paths"].items():
        for parameter in map(resolved, operations.get("get", {}).get("parameters", [])):
            if parameter["in"] == "query" and any(key in parameter["schema"] for key in keys):
                yield template, parameter


def status(api: httpx.Client, template: str, name: str, value: object) -> tuple[int, str]:
    """Status and text of a question that is right but for this value; of a feed that goes on, only the status."""
    path = template
    if "{internal_user_id}" in template:
        person = person_of(api, identified_event(identifiers={"email": fresh_email()}))
        path = template.replace("{internal_user_id}", person)
    question = {**QUESTIONS.get(template, {}), name: str(value)}
    with api.stream("GET", path, params=question) as answer:
        return answer.status_code, answer.read().decode() if answer.is_error else ""


@pytest.mark.parametrize(
    ("template", "parameter"),
    [pytest.param(t, p, id=f"{t} {p['name']}") for t, p in parameters_with("minimum", "maximum")],
)
def test_numbers_have_the_limits_of_the_document(api: httpx.Client, template: str, parameter: Json) -> None:
    schema, name = parameter["schema"], parameter["name"]
    least, most = schema["minimum"], schema.get("maximum", INT32_MOST)
    for value in (least, most):
        assert status(api, template, name, value)[0] == 200, value
    for value in (least - 1, *([most + 1] if most < INT32_MOST else [])):
        code, text = status(api, template, name, value)
        assert code == 400, value
        fields = [
            each["field"]
            for detail in json.loads(text)["error"]["details"]
            for each in detail.get("fieldViolations", [])
        ]
        assert fields == [name]


@pytest.mark.parametrize(
    ("template", "parameter"), [pytest.param(t, p, id=f"{t} {p['name']}") for t, p in parameters_with("enum")]
)
def test_choices_are_those_of_the_document(api: httpx.Client, template: str, parameter: Json) -> None:
    for value in parameter["schema"]["enum"]:
        assert status(api, template, parameter["name"], value)[0] == 200, value
        for other in (value.upper(), f"{value}s"):
            assert status(api, template, parameter["name"], other)[0] == 400, other


CANDIDATES: list[Any] = [None, True, 5, 1.5, "text", [], {}, [1], {"a": 1}, {"a": {"b": []}}, {"a": None}]
STATELESS = {"/events", "/identify", "/reference/users"}
"""What can be asked again and again without more than the body."""


def places(value: object, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value inside a JSON text, and where it is."""
    yield at, value
    if isinstance(value, dict | list):
        for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inside, (*at, key))


def changed(body: object, at: tuple[Any, ...], value: object) -> object:
    if not at:
        return value
    copied = copy.deepcopy(body)
    inside: Any = copied
    for key in at[:-1]:
        inside = inside[key]
    inside[at[-1]] = value
    return copied


BODIES = [
    pytest.param(example, id=example.name)
    for example in examples()
    if example.template in STATELESS and isinstance(example.body, dict | list)
]


@pytest.mark.parametrize("example", BODIES)
def test_what_the_document_allows_in_a_body_is_taken(api: httpx.Client, example: Any) -> None:  # noqa: ANN401
    content = DOCUMENT["paths"][example.template][example.method]["requestBody"]["content"]["application/json"]
    validator = Draft202012Validator({**content["schema"], "components": DOCUMENT["components"]})
    refused = []
    for at, before in places(example.body):
        for value in CANDIDATES:
            if type(value) is type(before) or {type(value), type(before)} <= {int, float}:
                continue
            body: Any = with_values(changed(example.body, at, value), own_values())
            for each in body if isinstance(body, list) else [body]:
                if isinstance(each, dict) and isinstance(each.get("event_id"), str):
                    each["event_id"] = fresh("event")
                if isinstance(each, dict) and isinstance(each.get("ts"), str) and at[-1:] != ("ts",):
                    each["ts"] = from_now(0)
            if not validator.is_valid(body):
                continue
            answer = api.request(example.method, example.template, json=body)
            if answer.status_code not in {200, 202}:
                refused.append((at, value, answer.status_code, answer.text[:300]))
    assert refused == []


ACTS = [
    pytest.param(example, id=example.name)
    for example in examples()
    if example.template not in STATELESS and isinstance(example.body, dict) and "=" not in example.name
]


@pytest.mark.parametrize("example", ACTS)
def test_a_changed_body_of_an_act_is_judged_by_the_document(api: httpx.Client, example: Any) -> None:  # noqa: ANN401
    content = DOCUMENT["paths"][example.template][example.method]["requestBody"]["content"]["application/json"]
    validator = Draft202012Validator({**content["schema"], "components": DOCUMENT["components"]})
    values = prepared(api, example)
    path = example.template.format(**with_values(example.path_values, values))
    wrong = []
    for at, _ in places(example.body):
        for value in CANDIDATES:
            body = with_values(changed(example.body, at, value), values)
            answer = api.request(example.method, path, json=body)
            if value == "text" and at[-1:] in {("identifier",), ("from",), ("to",)}:
                continue  # a policy says which identifiers there are; the validator does not look at formats
            # The person, the merge, may be gone by then: the body is judged before they are looked for.
            if answer.status_code >= 500 or (validator.is_valid(body) and answer.status_code in {400, 422}):
                wrong.append((at, value, answer.status_code, answer.text[:300]))
    assert wrong == []
