"""How a key is presented: in a header, or by a page in its address; what is no key, and what shows none."""

from __future__ import annotations

import secrets

import grpc
import httpx
import pytest

from dmp.ingest.v1 import ingest_service_pb2 as ingest_pb
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from tests.conditions import wait_until
from tests.contracts.wire import exchange, request_head
from tests.gateway.conftest import Backends, GatewayRunner
from tests.gateway.keyring import ORIGIN, Keyring, post

UNKNOWN = f"dmp_secret_{'x' * 32}"
MIB = 1024 * 1024


@pytest.mark.parametrize("name", ["x-api-key", "X-API-KEY", "X-Api-Key"])
def test_the_case_of_a_header_does_not_matter(key_url: str, keyring: Keyring, backends: Backends, name: str) -> None:
    head = request_head("POST", "/events", [(name, keyring.texts["ingest"]), ("Content-Length", "2")])
    assert exchange(key_url, [head, b"{}"]).status == 202
    assert backends.ingest.only_call().metadata["x-internal-caller"] == "ingest"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR  "])
def test_the_case_of_the_scheme_does_not_matter(key_client: httpx.Client, keyring: Keyring, scheme: str) -> None:
    assert post(key_client, {"AUTHORIZATION": f"{scheme} {keyring.texts['ingest']}"}).status_code == 202


@pytest.mark.parametrize("value", ["{key}", "Basic {key}", "Bearer", "Bearer{key}", "Bearer {key} more", "Token {key}"])
def test_another_scheme_is_no_key(key_client: httpx.Client, keyring: Keyring, value: str) -> None:
    answer = post(key_client, {"authorization": value.format(key=keyring.texts["ingest"])})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="dmp"'


@pytest.mark.parametrize(
    "headers",
    [
        [("x-api-key", "ingest"), ("x-api-key", "ingest")],
        [("x-api-key", "ingest"), ("x-api-key", "read")],
        [("x-api-key", "read"), ("x-api-key", "ingest")],
        [("authorization", "ingest"), ("authorization", "ingest")],
        [("authorization", "ingest"), ("x-api-key", "ingest")],
        [("authorization", "ingest"), ("x-api-key", "nobody")],
        [("authorization", "nobody"), ("x-api-key", "ingest")],
    ],
)
def test_two_keys_are_none(
    key_client: httpx.Client, keyring: Keyring, backends: Backends, headers: list[tuple[str, str]]
) -> None:
    texts = {**keyring.texts, "nobody": UNKNOWN}
    sent = [(name, ("Bearer " if name == "authorization" else "") + texts[key]) for name, key in headers]
    assert key_client.post("/events", content=b"{}", headers=sent).status_code == 401
    assert not backends.ingest.calls


def test_a_key_in_a_header_and_in_the_query_is_none(
    key_client: httpx.Client, keyring: Keyring, backends: Backends
) -> None:
    path = f"/events?key={keyring.texts['page']}"
    assert post(key_client, {"origin": ORIGIN, **keyring.bearer("ingest")}, path).status_code == 401
    assert post(key_client, {"origin": ORIGIN}, f"{path}&key={keyring.texts['page']}").status_code == 401
    assert not backends.ingest.calls


@pytest.mark.parametrize(
    "query", ["key={}", "%6bey={}", "%6B%65%79={}", "source=a&key={}", "key={}&source=a", "&&key={}&"]
)
def test_a_page_presents_its_key_in_the_query(
    key_client: httpx.Client, keyring: Keyring, backends: Backends, query: str
) -> None:
    key = keyring.texts["page"]
    for spelled in (key, "".join(f"%{ord(letter):02x}" for letter in key)):
        backends.reset()
        path = "/events?" + query.format(spelled)
        if "source" in query:
            path = path.replace("/events?", "/events:validate?").replace("source=a&", "").replace("&source=a", "")
        assert post(key_client, {"origin": ORIGIN}, path).status_code in (200, 202)
        assert backends.ingest.only_call().metadata["x-internal-caller"] == "page"
        assert key not in str(backends.ingest.only_call())


def test_the_rest_of_a_query_stays(key_client: httpx.Client, keyring: Keyring, backends: Backends) -> None:
    path = f"/stats?campaign_id=a%26b&key={UNKNOWN}&type=click&type=view"
    assert key_client.get(path, headers=keyring.bearer("read")).status_code == 401
    assert key_client.get(path.replace(f"key={UNKNOWN}&", ""), headers=keyring.bearer("read")).status_code == 200
    request = backends.stats.only_call().request
    assert (request.campaign_id, list(request.type)) == ("a&b", ["click", "view"])


def test_a_secret_key_does_not_stand_in_an_address(
    key_client: httpx.Client, keyring: Keyring, backends: Backends
) -> None:
    answer = key_client.get(f"/stats?campaign_id=c&key={keyring.texts['read']}", headers={"origin": ORIGIN})
    assert answer.status_code == 401
    assert "must come in a header" in answer.json()["error"]["message"]
    assert not backends.stats.calls


def test_a_key_in_another_parameter_is_no_key(key_client: httpx.Client, keyring: Keyring) -> None:
    for query in ("Key", "api_key", "%256bey", "key%00", "key[]"):
        assert post(key_client, {"origin": ORIGIN}, f"/events?{query}={keyring.texts['page']}").status_code == 401


def test_a_page_of_another_origin_may_ask_and_is_refused(key_client: httpx.Client, keyring: Keyring) -> None:
    asked = {"origin": ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    assert key_client.options("/events", headers=asked).status_code == 200
    for origin in ("https://shop.example.evil.example", "http://shop.example", "https://SHOP.example", "null"):
        answer = post(key_client, {"origin": origin}, f"/events?key={keyring.texts['page']}")
        assert answer.status_code == 403
        assert answer.headers["access-control-allow-origin"] == origin, "a page may read why"


def test_nobody_says_who_they_are(
    key_client: httpx.Client, key_channel: grpc.Channel, keyring: Keyring, backends: Backends
) -> None:
    forged = {"x-internal-caller": "everything", "X-Internal-Scopes": "admin"}
    assert post(key_client, {**forged, **keyring.bearer("ingest")}).status_code == 202
    assert post(key_client, forged).status_code == 401
    metadata = (("x-internal-caller", "everything"), ("x-api-key", keyring.texts["ingest"]))
    IngestServiceStub(key_channel).PublishEvents(ingest_pb.PublishEventsRequest(), metadata=metadata)
    assert {call.metadata["x-internal-caller"] for call in backends.ingest.calls} == {"ingest"}
    key_client.get("/healthz", headers=forged)
    assert "x-internal-caller" not in backends.ingest.calls[-1].metadata


def test_a_header_of_a_mebibyte_is_refused_unread(key_client: httpx.Client, keyring: Keyring) -> None:
    for name in ("x-api-key", "authorization"):
        try:
            status = post(key_client, {name: "Bearer " + "k" * MIB}).status_code
        except httpx.TransportError:
            continue  # the gateway does not read that much of a header, so its end may look like a reset
        assert status == 431
    assert post(key_client, keyring.bearer("ingest")).status_code == 202


@pytest.mark.parametrize("length", [0, 1, 42, 43, 44, 54, 55, 56, 57, 64, 1000, 20_000])
def test_a_key_of_any_length_is_only_unknown(key_client: httpx.Client, length: int) -> None:
    assert post(key_client, {"x-api-key": "k" * length}).status_code == 401


def test_many_guesses_get_nothing_and_keep_nobody_back(
    key_client: httpx.Client, keyring: Keyring, backends: Backends
) -> None:
    guesses = [f"dmp_secret_{secrets.token_hex(16)}" for _ in range(400)]
    guesses += [keyring.texts["ingest"][:-1], keyring.texts["ingest"] + "0", keyring.texts["ingest"].swapcase()]
    guesses += ['"] = 1', "%s", "\\", "[[", "]]", "--", "nil", "KEYS"]
    assert {key_client.get("/audit", headers={"x-api-key": guess}).status_code for guess in guesses} == {401}
    assert not backends.ingest.calls
    assert post(key_client, keyring.bearer("ingest")).status_code == 202


def test_nothing_that_the_gateway_says_has_a_key_in_it(
    key_client: httpx.Client, keyring: Keyring, runner: GatewayRunner, key_url: str, backends: Backends
) -> None:
    def fail(request: object, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.INTERNAL, "it is logged")

    backends.ingest.answer("PublishEventsJson", fail)
    assert post(key_client, keyring.bearer("ingest")).status_code == 500
    assert post(key_client, {"origin": ORIGIN}, f"/events?key={keyring.texts['page']}").status_code == 500
    log = runner.log(key_url)
    wait_until(lambda: log.read_text().count('"status":500') >= 2, "two failures in the log")
    said = log.read_text() + runner.dump(key_url) + keyring.directory.keys_file.read_text()
    said += "".join(path.read_text() for path in keyring.directory.gateway.iterdir())
    assert "x-internal-caller" in said
    assert [name for name, text in keyring.texts.items() if text in said] == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in keyring.path.rglob("*"))
