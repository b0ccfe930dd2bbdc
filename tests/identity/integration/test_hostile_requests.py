"""Requests of strangers: whatever they hold, identity says what is wrong with it, and remembers nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmp.identity.v1 import explanation_pb2, identity_service_pb2
from dmp.identity.v1 import identity_service_pb2 as pb
from dmp_chassis.client import channel
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from tests.identity.batches import event
from tests.identity.client import Identity

SERVICE = identity_service_pb2.DESCRIPTOR.services_by_name["IdentityService"]
METHODS = {method.name: method for method in SERVICE.methods if method.name != "TryPolicy"}
"""Every RPC, those of ingest too; trying a policy has tests of its own."""
EXAMPLES = 400
"""Of requests, in equal parts for the RPCs."""

TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            "\0",
            "a\0b",
            "user_1",
            "user_0",
            "user_zzzzzzzzzzzzz",
            "email:\0",
            "email:a@b.com",
            "email:",
            ":",
            "nonsense:x",
        ]
    ),
    st.sampled_from(
        ["a@b.com", "email", "user_id", "ip", "\ufffe", "\U0010ffff" * 300, "x" * 1025, "x" * 70_000, "-1", "1e400"]
    ),
    st.sampled_from(
        ["0a4d9a06-9f04-4c0f-8a3b-9f1f7a3f2a10", "W10", "WzEsMV0", "WzksIlx1MDAwMCJd", "WzEsMWU0MDBd", "AAAA", "/w=="]
    ),
    st.text(max_size=20),
)
NUMBERS = st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31), 1000, 10_001])
LARGE = st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 253402300800, 2**53])


def filled(message: Message, draw: st.DrawFn, depth: int = 0) -> Message:
    """The message with drawn values in its fields."""
    for field in message.DESCRIPTOR.fields:
        if not draw(st.booleans()) and depth:
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            kind: Any = field.message_type
            if kind.GetOptions().map_entry:
                fill_map(getattr(message, field.name), field, draw)
            elif field.is_repeated:
                for _ in range(draw(st.integers(0, 2))):
                    filled(getattr(message, field.name).add(), draw, depth + 1)
            else:
                target = getattr(message, field.name)
                target.SetInParent()
                filled(target, draw, depth + 1)
            continue
        values = value_of(field)
        if field.is_repeated:
            times = draw(st.sampled_from([0, 1, 2, 3, 101]))
            getattr(message, field.name).extend([draw(values)] * times)
        else:
            setattr(message, field.name, draw(values))
    return message


def fill_map(entries: Any, field: Any, draw: st.DrawFn) -> None:  # noqa: ANN401  # protobuf has two kinds of each
    """Puts up to two drawn entries into a map by text."""
    value = field.message_type.fields_by_name["value"]
    for _ in range(draw(st.integers(0, 2))):
        if value.type == FieldDescriptor.TYPE_MESSAGE:
            filled(entries[draw(TEXTS)], draw, 5)
        else:
            entries[draw(TEXTS)] = draw(value_of(value))


def value_of(field: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401  # protobuf has two kinds of descriptors
    """Values of a scalar field."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return TEXTS
    if field.type == FieldDescriptor.TYPE_BYTES:
        return (
            TEXTS.map(lambda text: f'{{"email": "{text}", "phoneNumber": 1e400}}'.encode("utf-8", "replace"))
            | st.binary()
        )
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type in {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64}:
        return LARGE
    if field.type in {FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64}:
        return st.sampled_from([0, 1, 2**32 - 1])
    if field.type in {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}:
        return st.sampled_from([0.0, -1.0, 1e308, float("inf"), float("nan")])
    return NUMBERS


@st.composite
def requests(draw: st.DrawFn, name: str) -> bytes:
    """A request for an RPC."""
    return filled(GetMessageClass(METHODS[name].input_type)(), draw).SerializeToString()


async def outcome(connection: grpc.aio.Channel, name: str, request: bytes) -> grpc.aio.AioRpcError | None:
    """The error of a call, None if it worked."""
    path = f"/{SERVICE.full_name}/{name}"
    try:
        if METHODS[name].server_streaming:
            stream: Any = connection.unary_stream(path)
            async for _ in stream(request, timeout=20):
                pass
        else:
            unary: Any = connection.unary_unary(path)
            await unary(request, timeout=20)
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def test_no_request_is_an_internal_error(identity: Identity) -> None:
    await identity.apply(event(email="a@b.com", phone="1", browser_id="x"), event(email="c@d.com", browser_id="x"))
    loop = asyncio.get_running_loop()
    address = identity.address

    async def call(name: str, request: bytes) -> grpc.aio.AioRpcError | None:
        async with channel(address) as connection:
            return await outcome(connection, name, request)

    def judge(name: str, request: bytes) -> None:
        error = asyncio.run_coroutine_threadsafe(call(name, request), loop).result(60)
        code = grpc.StatusCode.OK if error is None else error.code()
        assert code not in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}, request
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            assert error is not None
            named = b"google.rpc.BadRequest" in error.trailing_metadata()["grpc-status-details-bin"]
            assert named or "body" in str(error.details()), error.details()

    def trial(name: str) -> Callable[[], None]:
        @settings(
            max_examples=EXAMPLES // len(METHODS),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        @given(requests(name))
        def every(request: bytes) -> None:
            judge(name, request)

        return every

    for name in sorted(METHODS):
        await asyncio.to_thread(trial(name))


HUGE = "x" * 20_000_000


@pytest.mark.parametrize(
    ("name", "request_of", "field"),
    [
        ("MatchIdentifier", pb.MatchIdentifierRequest(identifier="email", value="x" * 1025), "value"),
        ("MatchIdentifier", pb.MatchIdentifierRequest(identifier="email", value="a\0"), "value"),
        ("ExplainLink", explanation_pb2.ExplainLinkRequest(**{"from": "email:" + "x" * 1020, "to": "user_1"}), "from"),
        ("ExplainLink", explanation_pb2.ExplainLinkRequest(**{"from": "user_1", "to": "email:\0"}), "to"),
        ("MergeProfiles", pb.MergeProfilesRequest(internal_user_ids=["user_1"] * 100_000), "internal_user_ids"),
        ("MergeProfiles", pb.MergeProfilesRequest(internal_user_ids=["user_1"], reason="x" * 1001), "reason"),
        ("MatchIdentifier", pb.MatchIdentifierRequest(identifier="email", value=HUGE), "1048576 bytes"),
        ("Identify", pb.IdentifyRequest(email=HUGE), "1048576 bytes"),
        ("Identify", pb.IdentifyRequest(email="x" * 321), "email"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_too_much_is_refused_and_the_field_is_named(
    identity: Identity, name: str, request_of: Message, field: str
) -> None:
    async with channel(identity.address) as connection:
        error = await outcome(connection, name, request_of.SerializeToString())
    assert error is not None
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(error.details())
    assert len(str(error.details())) < 2000


def remembered(parser: IdentifierParser) -> int:
    """The characters of all texts that a parser holds."""
    tables = parser._kept.values()  # what it holds is the point
    return sum(len(text) for kept in tables for texts in (kept.latest, kept._old) for text in texts)


async def test_nothing_of_large_requests_is_remembered(identity: Identity) -> None:
    async with channel(identity.address) as connection:
        for length in (513, 1024, 1025, 900_000, 20_000_000):
            request = pb.MatchIdentifierRequest(identifier="email", value="x" * length)
            assert await outcome(connection, "MatchIdentifier", request.SerializeToString()) is not None
    await identity.apply(event(email="x" * 100_000), event(made_up="x" * 100))
    assert remembered(identity.servicer.parser) == 0


def test_the_reader_remembers_a_bounded_number_of_characters(policy: IdentifierPolicy) -> None:
    parser = IdentifierParser(policy)
    for text in ("x" * 513, "x" * 100_000):
        parser.parse("email", text)
    parser.parse("made_up", "x")
    parser.parse_columns(["email", "y" * 600, "other"], [0, 2], [1, 1])
    assert remembered(parser) == 0
    for n in range(80_000):
        parser.parse("browser_id", f"{n:0512}")
    assert 1 << 23 < remembered(parser) <= 1 << 25
