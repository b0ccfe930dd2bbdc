"""All of identity and stats as a typed API, on the same port as the JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import cast

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from dmp.identity.v1 import identity_service_pb2 as identity_pb2
from dmp.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from dmp.stats.v1 import stats_service_pb2 as stats_pb2
from dmp.stats.v1.stats_service_pb2_grpc import StatsServiceStub
from tests.contracts.answers import assert_no_leak, metrics, person_of, stored, user
from tests.contracts.grpc_errors import assert_refused
from tests.contracts.payloads import (
    PAST_FROM,
    PAST_TO,
    activity_event,
    campaign_event,
    fresh,
    fresh_email,
    fresh_phone,
    identified_event,
)

PATIENCE_SECONDS = 20.0
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_a_profile_is_the_same_as_over_json(api: httpx.Client, identity: IdentityServiceStub) -> None:
    email = fresh_email()
    profile = person_of(api, identified_event(identifiers={"email": email, "browser_id": fresh("b")}, timestamp=1.5))
    answer = identity.GetProfile(identity_pb2.GetProfileRequest(internal_user_id=profile), timeout=PATIENCE_SECONDS)
    shown = user(api, profile)
    assert answer.internal_user_id == profile
    assert json_format.MessageToDict(answer.identifiers) == shown["identifiers"]
    assert [(entry.event_id, entry.event_type, entry.source, entry.timestamp) for entry in answer.events] == [
        (entry["event_id"], entry["event_type"], entry["source"], entry["timestamp"]) for entry in shown["events"]
    ]
    assert answer.next_page_token == ""


def test_a_profile_is_read_page_by_page(api: httpx.Client, identity: IdentityServiceStub) -> None:
    email = fresh_email()
    events = [identified_event(identifiers={"email": email}, timestamp=1700000000 + n) for n in range(5)]
    profile = stored(api, events)[0]["internal_user_id"]
    walked: list[str] = []
    token = ""
    for _ in range(3):
        request = identity_pb2.GetProfileRequest(internal_user_id=profile, page_size=2, page_token=token)
        answer = identity.GetProfile(request, timeout=PATIENCE_SECONDS)
        walked.extend(entry.event_id for entry in answer.events)
        token = answer.next_page_token
    assert token == ""
    assert walked == [event["event_id"] for event in events]


def test_an_unknown_profile_is_not_found(identity: IdentityServiceStub) -> None:
    info = assert_refused(
        lambda: identity.GetProfile(
            identity_pb2.GetProfileRequest(internal_user_id="user_nobody"), timeout=PATIENCE_SECONDS
        ),
        grpc.StatusCode.NOT_FOUND,
        "PROFILE_NOT_FOUND",
        "identity.dmp",
    )
    assert info.metadata["internal_user_id"] == "user_nobody"


def test_a_match_is_the_same_as_over_json(api: httpx.Client, identity: IdentityServiceStub) -> None:
    email = fresh_email()
    profile = person_of(api, identified_event(identifiers={"email": email}))
    request = identity_pb2.MatchIdentifierRequest(identifier="email", value=email.upper())
    answer = identity.MatchIdentifier(request, timeout=PATIENCE_SECONDS)
    assert answer.internal_user_id == profile
    assert (answer.match.normalized, answer.match.strength, answer.match.ambiguous) == (email, "strong", False)


def test_match_refuses_what_it_cannot_read_and_does_not_find_strangers(identity: IdentityServiceStub) -> None:
    def ask(identifier: str, value: str) -> object:
        request = identity_pb2.MatchIdentifierRequest(identifier=identifier, value=value)
        return identity.MatchIdentifier(request, timeout=PATIENCE_SECONDS)

    domain = "identity.dmp"
    assert_refused(lambda: ask("shoe_size", "44"), INVALID, "INVALID_ARGUMENT", domain, field="identifier")
    assert_refused(lambda: ask("email", ""), INVALID, "INVALID_ARGUMENT", domain, field="value")
    info = assert_refused(lambda: ask("email", fresh_email()), grpc.StatusCode.NOT_FOUND, "NO_MATCH", domain)
    assert info.metadata["identifier"] == "email"


def test_profiles_are_merged(api: httpx.Client, identity: IdentityServiceStub) -> None:
    profiles = [person_of(api, identified_event()) for _ in range(2)]
    request = identity_pb2.MergeProfilesRequest(internal_user_ids=reversed(profiles), reason="known")
    answer = identity.MergeProfiles(request, timeout=PATIENCE_SECONDS)
    assert (answer.internal_user_id, list(answer.merged_ids)) == (profiles[0], [profiles[1]])
    assert answer.merge_id
    assert identity.MergeProfiles(request, timeout=PATIENCE_SECONDS).merge_id == ""


def test_merge_refuses_unknown_profiles_and_nobody(identity: IdentityServiceStub) -> None:
    def merge(*profiles: str) -> object:
        return identity.MergeProfiles(
            identity_pb2.MergeProfilesRequest(internal_user_ids=profiles), timeout=PATIENCE_SECONDS
        )

    not_found = grpc.StatusCode.NOT_FOUND
    assert_refused(lambda: merge("user_nobody1", "user_nobody2"), not_found, "PROFILE_NOT_FOUND", "identity.dmp")
    assert_refused(merge, INVALID, "INVALID_ARGUMENT", "identity.dmp", field="internal_user_ids")


def test_a_contact_is_identified_the_same_as_over_json(api: httpx.Client, identity: IdentityServiceStub) -> None:
    email, phone = fresh_email(), fresh_phone()
    request = identity_pb2.IdentifyRequest(email=email, phone_number=phone)
    answer = identity.Identify(request, timeout=PATIENCE_SECONDS)
    assert answer.contact.primary_contact_id == answer.contact.primary_contatct_id == answer.primary_contact_id
    assert (list(answer.emails), list(answer.contact.emails)) == ([email], [email])
    assert (list(answer.phone_numbers), list(answer.secondary_contact_ids)) == ([phone], [])
    assert api.post("/identify", json={"email": email}).json()["primaryContactId"] == answer.primary_contact_id


@pytest.mark.parametrize(("email", "phone", "field"), [("x" * 321, "", "email"), ("a\x00", "", "email")])
def test_identify_names_what_it_refuses(identity: IdentityServiceStub, email: str, phone: str, field: str) -> None:
    request = identity_pb2.IdentifyRequest(email=email, phone_number=phone)
    assert_refused(
        lambda: identity.Identify(request, timeout=PATIENCE_SECONDS),
        INVALID,
        "INVALID_ARGUMENT",
        "identity.dmp",
        field=field,
    )


def test_identify_needs_a_value(identity: IdentityServiceStub) -> None:
    assert_refused(
        lambda: identity.Identify(identity_pb2.IdentifyRequest(), timeout=PATIENCE_SECONDS),
        INVALID,
        "INVALID_ARGUMENT",
        "identity.dmp",
    )


def query(campaign: str, **fields: str) -> stats_pb2.QueryStatsRequest:
    request = stats_pb2.QueryStatsRequest()
    json_format.ParseDict({"campaign_id": campaign, "from": PAST_FROM, "to": PAST_TO, **fields}, request)
    return request


def test_stats_have_typed_fields(api: httpx.Client, stats: StatsServiceStub) -> None:
    campaign = fresh("camp")
    stored(
        api,
        [
            campaign_event(campaign_id=campaign, creative_id=creative, type=kind)
            for creative, kind in (("a", "click"), ("b", "impression"), ("b", "impression"), ("b", "view"))
        ],
    )
    answer = stats.QueryStats(query(campaign), timeout=PATIENCE_SECONDS)
    assert (answer.campaign_id, answer.granularity) == (campaign, "minute")
    assert (getattr(answer, "from").ToJsonString(), answer.to.ToJsonString()) == (PAST_FROM, PAST_TO)
    assert [(p.ts.ToJsonString(), p.impressions, p.clicks, p.group, p.events) for p in answer.series] == [
        ("2026-02-10T21:10:00Z", 2, 1, "", 4)
    ]
    grouped = stats.QueryStats(query(campaign, group_by="creative_id"), timeout=PATIENCE_SECONDS)
    assert [(p.group, p.impressions, p.clicks, p.events) for p in grouped.series] == [("a", 0, 1, 1), ("b", 2, 0, 3)]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"from": "soon"}, "from"),
        ({"to": ""}, "to"),
        ({"granularity": "century"}, "granularity"),
        ({"granularity": "day", "tz": "Europe/Atlantis"}, "tz"),
        ({"fill": "one"}, "fill"),
        ({"group_by": "user"}, "group_by"),
        ({"campaign_id": ""}, "campaign_id"),
    ],
)
def test_stats_name_what_they_refuse(stats: StatsServiceStub, fields: dict[str, str], field: str) -> None:
    request = query(fields.pop("campaign_id", "c"), **fields)
    assert_refused(
        lambda: stats.QueryStats(request, timeout=PATIENCE_SECONDS),
        INVALID,
        "INVALID_ARGUMENT",
        "stats.dmp",
        field=field,
    )


def table(*parts: dict[str, dict[str, str]], ts: float = 0) -> Iterator[stats_pb2.ReplaceReferenceUsersRequest]:
    """A table in several messages; `ts` in the first one alone, by default now."""
    for number, users in enumerate(parts):
        request = stats_pb2.ReplaceReferenceUsersRequest(
            users={name: stats_pb2.ReferenceUser(attributes=attributes) for name, attributes in users.items()}
        )
        if number == 0:
            moment = Timestamp()
            moment.FromNanoseconds(int(ts * 1e9) or time.time_ns())
            request.ts.CopyFrom(moment)
        yield request


def test_the_reference_table_is_replaced_and_read_through_typed_calls(
    api: httpx.Client, stats: StatsServiceStub
) -> None:
    left, right = fresh("u"), fresh("u")
    stored(api, [activity_event(user_id=left), activity_event(user_id=right), activity_event(user_id=right)])
    parts = ({left: {"plan": "old"}}, {right: {"plan": "pro"}}, {left: {"plan": "free", "team": "blue"}})
    replaced = stats.ReplaceReferenceUsers(table(*parts), timeout=PATIENCE_SECONDS)
    assert (replaced.message, replaced.users) == ("Reference table updated successfully", 2)
    answer = stats.GetMetrics(stats_pb2.GetMetricsRequest(group_by=["team"]), timeout=PATIENCE_SECONDS)
    assert (answer.window_sec, answer.generation, answer.unique_users) == (300, replaced.generation, 2)
    assert dict(answer.by["plan"].counts) == {"free": 1, "pro": 2}
    assert dict(answer.by["team"].counts) == {"blue": 1}
    assert "region" in answer.by
    assert answer.events == 3 + answer.unknown
    assert metrics(api)["by_plan"] == {"free": 1, "pro": 2}


def test_a_stale_table_is_refused(stats: StatsServiceStub) -> None:
    current = stats.ReplaceReferenceUsers(table({}), timeout=PATIENCE_SECONDS)
    info = assert_refused(
        lambda: stats.ReplaceReferenceUsers(table({}, ts=1.0), timeout=PATIENCE_SECONDS),
        grpc.StatusCode.ABORTED,
        "STALE_REFERENCE",
        "stats.dmp",
    )
    assert info.metadata["generation"] == str(current.generation)


def test_a_table_without_a_time_is_refused(stats: StatsServiceStub) -> None:
    requests = [stats_pb2.ReplaceReferenceUsersRequest()]
    assert_refused(
        lambda: stats.ReplaceReferenceUsers(iter(requests), timeout=PATIENCE_SECONDS),
        INVALID,
        "INVALID_ARGUMENT",
        "stats.dmp",
        field="ts",
    )


@pytest.mark.parametrize("window", [0, -1, 1801])
def test_metrics_refuse_a_window_out_of_bounds(stats: StatsServiceStub, window: int) -> None:
    assert_refused(
        lambda: stats.GetMetrics(stats_pb2.GetMetricsRequest(window=window), timeout=PATIENCE_SECONDS),
        INVALID,
        "INVALID_ARGUMENT",
        "stats.dmp",
        field="window",
    )


def raw_call(channel: grpc.Channel, method: str, request: bytes) -> grpc.Call:
    """Calls with bytes as they are; the error, with which the call must end."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=PATIENCE_SECONDS)
    return cast(grpc.Call, caught.value)


def test_an_unknown_method_is_unimplemented(channel: grpc.Channel) -> None:
    error = raw_call(channel, "/dmp.stats.v1.StatsService/Nothing", b"")
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def test_bytes_that_are_no_message_are_refused_without_a_trace(channel: grpc.Channel) -> None:
    for junk in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe"):
        error = raw_call(channel, "/dmp.identity.v1.IdentityService/GetProfile", junk)
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert_no_leak(str(error.details()))
        assert "DecodeError" not in str(error.details())
