"""Every RPC needs the scope that its proto names, in JSON and natively alike; what has none is for nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import yaml
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from deploy.certificates.make_certificates import make_certificates
from dmp.access.v1 import scope_pb2
from dmp_stack.keys.api_key import SCOPES
from dmp_stack.programs import repository_root
from protos.generate import UnscopedRpcError, scopes
from tests.contracts.wire import exchange, request_head
from tests.gateway.backends import SERVICES
from tests.gateway.conftest import Backends, GatewayRunner, certificates_of, channel_of, client_of
from tests.gateway.keyring import ORIGIN, Keyring, full

DESCRIPTORS = repository_root() / "protos" / "gen" / "dmp.binpb"


def scope_of(method: MethodDescriptor) -> str:
    """The scope that the proto of a method names, as the keys file has it."""
    number = method.GetOptions().Extensions[scope_pb2.scope]
    return scope_pb2.Scope.Name(number).removeprefix("SCOPE_").lower()


METHODS = [method for service in SERVICES for method in service.methods]
FOR_CALLERS = [method for method in METHODS if scope_of(method) in SCOPES]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A gateway that asks for keys, the keys, its callers, and the servers behind it. authority: of its certificate."""

    url: str
    keyring: Keyring
    client: httpx.Client
    channel: grpc.Channel
    backends: Backends
    authority: Path | None = None


@pytest.fixture(scope="module")
def with_tls(runner: GatewayRunner, keyring: Keyring, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A gateway that speaks TLS with callers, and servers behind it that want its certificate."""
    made = tmp_path_factory.mktemp("certificates")
    make_certificates(made)
    started, authority = Backends.start(certificates=made), made / "public" / "ca.pem"
    url = runner.run_with_both(keyring.directory.gateway, certificates_of(made), **started.ports())
    with client_of(url, authority) as client, channel_of(url, authority) as channel:
        yield Guarded(url=url, keyring=keyring, client=client, channel=channel, backends=started, authority=authority)
    started.close()


@pytest.fixture(params=["clear text", "TLS"])
def guarded(request: pytest.FixtureRequest, backends: Backends, keyring: Keyring) -> Guarded:
    """Once without TLS, once with TLS everywhere; the servers without memory of other tests."""
    if request.param == "TLS":
        secured: Guarded = request.getfixturevalue("with_tls")
        secured.backends.reset()
        return secured
    url, client, channel = (request.getfixturevalue(f"key_{name}") for name in ("url", "client", "channel"))
    return Guarded(url=url, keyring=keyring, client=client, channel=channel, backends=backends)


def cases(keyring: Keyring, scope: str) -> Iterator[tuple[str, dict[str, str], int]]:
    """What is presented, as headers, and the HTTP status that refuses it; 0 for what is let in."""
    yield "no key", {}, 401
    yield "the right scope", keyring.bearer(scope), 0
    yield "the right scope as x-api-key", {"x-api-key": keyring.texts[scope]}, 0
    yield "every scope", keyring.bearer("everything"), 0
    for other in SCOPES:
        if other != scope:
            yield f"only {other}", keyring.bearer(other), 403
    yield "revoked", keyring.bearer("revoked"), 401
    yield "expired", keyring.bearer("expired"), 401
    yield "unknown", {"authorization": f"Bearer dmp_secret_{'x' * 32}"}, 401
    yield "of another origin", {**keyring.bearer("page"), "origin": "https://other.example"}, 403
    yield "of no origin", keyring.bearer("page"), 403
    yield "a page's key", {**keyring.bearer("page"), "origin": ORIGIN}, 0 if scope == "ingest" else 403


def call_native(channel: grpc.Channel, method: MethodDescriptor, headers: dict[str, str]) -> grpc.StatusCode:
    """The status of a native call with an empty request."""
    request_class, answer_class = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    call = getattr(channel, kind)(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=request_class.SerializeToString,
        response_deserializer=answer_class.FromString,
    )
    request: Any = iter([request_class()]) if method.client_streaming else request_class()
    try:
        answer = call(request, metadata=tuple(headers.items()), timeout=10)
        if method.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def bindings(method: MethodDescriptor) -> list[tuple[str, str]]:
    """The methods and paths of an RPC in JSON."""
    options: Any = method.GetOptions()
    rule: http_pb2.HttpRule = options.Extensions[annotations_pb2.http]
    found = [(binding, binding.WhichOneof("pattern")) for binding in (rule, *rule.additional_bindings)]
    return [(verb.upper(), re.sub(r"\{[^}]*\}", "some", getattr(binding, verb))) for binding, verb in found if verb]


REFUSED = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED}


@pytest.mark.parametrize("method", FOR_CALLERS, ids=lambda method: method.name)
def test_an_rpc_takes_keys_with_its_scope_and_no_other(method: MethodDescriptor, guarded: Guarded) -> None:
    backends = guarded.backends
    for what, headers, refused in cases(guarded.keyring, scope_of(method)):
        backends.reset()
        said = call_native(guarded.channel, method, headers)
        assert said == REFUSED.get(refused, grpc.StatusCode.OK), (what, said)
        calls = backend_calls(backends)
        assert len(calls) == (0 if refused else 1), what
        for metadata in calls:
            assert_only_the_name(metadata, headers, guarded.keyring)
        for verb, path in bindings(method):
            backends.reset()
            answer = guarded.client.request(verb, path, headers=headers, content=None if verb == "GET" else b"{}")
            assert answer.status_code in ({refused} if refused else {200, 202}), (what, verb, path, answer.text)
            calls = backend_calls(backends)
            assert len(calls) == (0 if refused else 1), what
            for metadata in calls:
                assert_only_the_name(metadata, headers, guarded.keyring)
            if refused:
                assert answer.json()["error"]["code"] == refused
                assert answer.json()["error"]["status"] == REFUSED[refused].name
                assert ("www-authenticate" in answer.headers) == (refused == 401)


def backend_calls(backends: Backends) -> list[dict[str, str | bytes]]:
    return [dict(call.metadata) for backend in backends.all() for call in backend.calls]


def assert_only_the_name(metadata: dict[str, str | bytes], headers: dict[str, str], keyring: Keyring) -> None:
    """A service hears whose key it was, and not the key."""
    (name,) = [name for name, text in keyring.texts.items() if text in str(headers)]
    assert metadata["x-internal-caller"] == name
    assert not {"authorization", "x-api-key"} & metadata.keys()
    assert keyring.texts[name] not in str(metadata)


def test_no_key_opens_what_services_say_to_each_other(guarded: Guarded) -> None:
    internal = [method for method in METHODS if scope_of(method) == "internal"]
    assert len(internal) > 5
    for method in internal:
        assert call_native(guarded.channel, method, {}) == grpc.StatusCode.UNAUTHENTICATED
        allowed = call_native(guarded.channel, method, guarded.keyring.bearer("everything"))
        assert allowed == grpc.StatusCode.UNIMPLEMENTED, method.name
    assert backend_calls(guarded.backends) == []


def test_what_is_public_asks_nobody(guarded: Guarded) -> None:
    public = [method for method in METHODS if scope_of(method) == "public"]
    assert [method.name for method in public] == ["CheckHealth"]
    for headers in ({}, {"x-api-key": "nobody's"}, guarded.keyring.bearer("expired")):
        assert call_native(guarded.channel, public[0], headers) == grpc.StatusCode.OK
        for path in ("/health", "/healthz", "/docs", "/docs/start.js", "/openapi.json"):
            assert guarded.client.get(path, headers=headers).status_code == 200
            assert guarded.client.head(path, headers=headers).status_code == 200


def test_the_public_rpc_tells_the_service_no_key(guarded: Guarded) -> None:
    guarded.client.get("/healthz", headers=guarded.keyring.bearer("everything"))
    (metadata,) = backend_calls(guarded.backends)
    assert not {"authorization", "x-api-key", "x-internal-caller"} & metadata.keys()


def test_a_path_or_a_call_that_is_not_there_is_told_to_callers_with_a_key_only(guarded: Guarded) -> None:
    for path in ("/nothing", "/dmp.ingest.v1.IngestService/PublishEvents", "/grpc.health.v1.Health/Check"):
        assert guarded.client.get(path).status_code == 401
        assert guarded.client.get(path, headers=guarded.keyring.bearer("everything")).status_code == 404
    unknown: Any = guarded.channel.unary_unary("/grpc.health.v1.Health/Check")
    with pytest.raises(grpc.RpcError) as failure:
        unknown(b"")
    assert failure.value.code() == grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.RpcError) as failure:
        unknown(b"", metadata=tuple(guarded.keyring.bearer("everything").items()))
    assert failure.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_body_is_refused_before_it_is_read(guarded: Guarded) -> None:
    """8 MiB are announced and never sent: an answer does not wait for them."""
    for headers, refused in (({}, 401), (guarded.keyring.bearer("read"), 403)):
        head = request_head("POST", "/events", [*headers.items(), ("Content-Length", "8388608")])
        assert exchange(guarded.url, [head], authority=guarded.authority).status == refused


def test_the_paths_of_an_rpc_that_needs_admin_are_not_those_of_one_that_reads(guarded: Guarded) -> None:
    answers = {
        verb: guarded.client.request(verb, "/users/user_1", headers=guarded.keyring.bearer("people")).status_code
        for verb in ("GET", "HEAD", "DELETE")
    }
    assert answers == {"GET": 200, "HEAD": 200, "DELETE": 403}


def test_what_the_first_filter_misreads_the_second_refuses(
    runner: GatewayRunner, backends: Backends, tmp_path: Path
) -> None:
    """A gateway whose first filter knows no path and no RPC."""
    keyring = full(tmp_path / "keys")
    file = keyring.directory.gateway / "authenticate.json"
    file.write_text(re.sub(r"(local (?:RPCS|PATHS) = \{).*?\\n\}", r"\1}", file.read_text()))
    url = runner.run_with_keys(keyring.directory.gateway, **backends.ports())
    with (
        httpx.Client(base_url=url, timeout=20.0, trust_env=False) as client,
        grpc.insecure_channel(url.removeprefix("http://"), options=[("grpc.enable_http_proxy", 0)]) as channel,
    ):
        for method in FOR_CALLERS:
            for scope in SCOPES:
                backends.reset()
                allowed, headers = scope == scope_of(method), keyring.bearer(scope)
                expected = grpc.StatusCode.OK if allowed else grpc.StatusCode.PERMISSION_DENIED
                assert call_native(channel, method, headers) == expected, (method.name, scope)
                for verb, path in bindings(method):
                    answer = client.request(verb, path, headers=headers, content=None if verb == "GET" else b"{}")
                    assert answer.status_code in ({200, 202} if allowed else {403}), (method.name, scope, answer.text)
                assert bool(backend_calls(backends)) == allowed, (method.name, scope)


# -- the protos say it


def test_every_rpc_names_its_scope() -> None:
    assert [method.full_name for method in METHODS if scope_of(method) == "unspecified"] == []


def test_an_rpc_without_a_scope_cannot_be_generated(tmp_path: Path) -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    for file in files.file:
        for service in file.service:
            for method in service.method:
                if method.name == "EraseUser":
                    method.options.Clear()
    forgotten = tmp_path / "forgotten.binpb"
    forgotten.write_bytes(files.SerializeToString())
    with pytest.raises(UnscopedRpcError, match=r"IngestService/EraseUser has no option \(dmp\.access\.v1\.scope\)"):
        scopes(forgotten)


@pytest.mark.parametrize(
    ("rpc", "callers", "problem"),
    [
        ("EraseUser", [], r" has no option \(dmp\.access\.v1\.callers\)"),
        ("EraseUser", [scope_pb2.CALLER_UNSPECIFIED], r" has no option \(dmp\.access\.v1\.callers\)"),
        ("EraseUser", [scope_pb2.CALLER_INGEST], ": the gateway calls what has a scope"),
        ("ErasePerson", [scope_pb2.CALLER_GATEWAY], ": the gateway calls what has a scope"),
    ],
)
def test_an_rpc_without_its_callers_cannot_be_generated(
    rpc: str, callers: list[scope_pb2.Caller.ValueType], problem: str, tmp_path: Path
) -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    for file in files.file:
        for service in file.service:
            for method in service.method:
                if method.name == rpc:
                    method.options.ClearExtension(scope_pb2.callers)
                    method.options.Extensions[scope_pb2.callers].extend(callers)
    wrong = tmp_path / "wrong.binpb"
    wrong.write_bytes(files.SerializeToString())
    with pytest.raises(UnscopedRpcError, match=rf"Service/{rpc}{problem}"):
        scopes(wrong)


def test_what_is_internal_is_what_the_gateway_hides() -> None:
    text = (repository_root() / "gateway" / "envoy.yaml").read_text()
    listener = yaml.safe_load(text)["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    hidden = [
        route["match"]["safe_regex"]["regex"]
        for route in routes
        if route.get("direct_response", {}).get("body") == {"inline_string": "no such method"}
        and "safe_regex" in route["match"]
    ]
    for method in METHODS:
        rpc = f"/{method.containing_service.full_name}/{method.name}"
        assert (scope_of(method) == "internal") == any(re.fullmatch(pattern, rpc) for pattern in hidden), rpc


def test_the_document_says_the_scope_of_every_path() -> None:
    document = json.loads((repository_root() / "gateway" / "openapi.json").read_text())
    assert document["security"] == [{"bearer": []}, {"header": []}]
    for method in METHODS:
        rule: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
        for binding in (rule, *rule.additional_bindings):
            verb = binding.WhichOneof("pattern")
            if verb is None:
                continue
            operation, scope = document["paths"][getattr(binding, verb)][verb], scope_of(method)
            if scope == "public":
                assert operation["security"] == []
            else:
                assert operation["description"].endswith(f"Scope: `{scope}`."), operation["operationId"]
                assert ({"page": []} in operation.get("security", [])) == (scope == "ingest")
