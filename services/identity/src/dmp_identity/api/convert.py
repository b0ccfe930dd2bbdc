"""Between protobuf messages and what the use cases take and give."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from google.protobuf.struct_pb2 import Struct

from dmp.identity.v1 import audit_pb2, contact_pb2, identity_service_pb2, profile_pb2
from dmp.ingest.v1 import accepted_batch_pb2
from dmp_chassis.violations import InvalidArgument, Violation, Violations
from dmp_identity.adapters.profile_reads import MOST_WEAK, ShownIdentifier
from dmp_identity.adapters.timeline_counts import EntryCount
from dmp_identity.adapters.timeline_pages import TimelineRow
from dmp_identity.apply_batch import AppliedBatch
from dmp_identity.domain.contacts import ContactAnswer
from dmp_identity.domain.errors import MalformedBodyError
from dmp_identity.domain.event_batch import EventBatch
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.parsed_identifier import ParsedIdentifier
from dmp_identity.merge_profiles import MOST_PROFILES, MergedProfiles
from dmp_identity.read_profile import MatchView, ProfileView

_COLUMNS: Final = ("occurred_at_us", "types", "sources")


def batch_from_proto(batch: accepted_batch_pb2.AcceptedBatch, parser: IdentifierParser) -> EventBatch:
    """The batch with its identifiers as the policy reads them. Raises InvalidArgument if the columns do not fit
    together.
    """
    texts = list(batch.texts)
    event_ids, kinds, sources = list(batch.event_ids), list(batch.types), list(batch.sources)
    events, types, values = list(batch.identifier_events), list(batch.identifier_types), list(batch.identifier_values)
    count = len(event_ids)
    problems = Violations(
        Violation(f"batch.{name}", f"must have {count} entries")
        for name in _COLUMNS
        if len(getattr(batch, name)) != count
    )
    try:
        batch_id = str(uuid.UUID(batch.batch_id))
    except ValueError:
        batch_id = ""
        problems.add("batch.batch_id", "must be a UUID")
    if not len(events) == len(types) == len(values):
        problems.add("batch.identifier_events", "must be as long as identifier_types and identifier_values")
    if max(events, default=-1) >= count:
        problems.add("batch.identifier_events", "must be positions of events")
    if max(max(column, default=-1) for column in (kinds, sources, types, values)) >= len(texts):
        problems.add("batch.texts", "must have every text that the columns refer to")
    if "\0" in "".join(texts) or "\0" in "".join(event_ids):
        problems.add("batch.texts", "must not have NUL characters")
    problems.check()
    identifiers: list[list[ParsedIdentifier]] = [[] for _ in range(count)]
    if parser.has_namespaces:
        read = parser.parse_columns_of_sources(texts, types, values, (sources[event] for event in events))
    else:
        read = parser.parse_columns(texts, types, values)
    for event, parsed in zip(events, read, strict=True):
        if parsed is not None:
            identifiers[event].append(parsed)
    return EventBatch(
        batch_id=batch_id,
        accepted_at_us=batch.accepted_at_us,
        event_ids=event_ids,
        occurred_at_us=list(batch.occurred_at_us),
        types=[texts[n] for n in kinds],
        sources=[texts[n] for n in sources],
        identifiers=identifiers,
    )


def applied_batch_to_proto(applied: AppliedBatch) -> identity_service_pb2.ApplyBatchResponse:
    """The answer of ApplyBatch."""
    return identity_service_pb2.ApplyBatchResponse(
        already_applied=applied.already_applied,
        internal_user_ids=applied.internal_user_ids,
        event_profiles=applied.event_profiles,
    )


def identifiers_to_proto(policy: IdentifierPolicy, identifiers: Sequence[ShownIdentifier]) -> Struct:
    """A list for every type of the policy, the first value by itself where the policy says so.

    Of a weak type the newest values, up to MOST_WEAK; the lists that had more are named in `truncated`.
    """
    lists: dict[str, list[str]] = {kind.list_name: [] for kind in policy.types.values()}
    singles: dict[str, str] = {}
    for identifier in identifiers:
        kind = policy.types.get(identifier.type)
        lists.setdefault(f"{identifier.type}s" if kind is None else kind.list_name, []).append(identifier.shown)
        if kind is not None and kind.singular:
            singles.setdefault(kind.name, identifier.shown)
    weak = {kind.list_name for kind in policy.types.values() if not kind.strong}
    truncated = [name for name, values in lists.items() if name in weak and len(values) > MOST_WEAK]
    lists |= {name: lists[name][-MOST_WEAK:] for name in truncated}
    struct = Struct()
    struct.update({**singles, **lists, **({"truncated": truncated} if truncated else {})})
    return struct


def timeline_entry_to_proto(row: TimelineRow) -> profile_pb2.TimelineEntry:
    """One entry; the time becomes seconds."""
    return profile_pb2.TimelineEntry(
        event_id=row.event_id, event_type=row.type, source=row.source, timestamp=row.occurred_at_us / 1e6
    )


def profile_to_proto(policy: IdentifierPolicy, view: ProfileView) -> identity_service_pb2.GetProfileResponse:
    """The answer of GetProfile."""
    return identity_service_pb2.GetProfileResponse(
        internal_user_id=view.person.internal_user_id,
        identifiers=identifiers_to_proto(policy, view.person.identifiers),
        events=[timeline_entry_to_proto(row) for row in view.events],
        merged_ids=view.person.merged_ids,
        possible_matches=[
            profile_pb2.PossibleMatch(internal_user_id=person, identifier=kind, value=value)
            for person, kind, value in view.possible_matches
        ],
        next_page_token=view.next_page_token,
        next_matches_token=view.next_matches_token,
    )


def match_to_proto(
    policy: IdentifierPolicy, view: MatchView, given: str
) -> identity_service_pb2.MatchIdentifierResponse:
    """The answer of MatchIdentifier; `given` is the value as the caller spelled it."""
    kind = view.parsed.type
    assert kind is not None
    return identity_service_pb2.MatchIdentifierResponse(
        internal_user_id=view.person.internal_user_id,
        identifiers=identifiers_to_proto(policy, view.person.identifiers),
        match=identity_service_pb2.IdentifierMatch(
            identifier=kind.name,
            value=given,
            normalized=view.parsed.key[1],
            strength=kind.strength.value,
            ambiguous=view.ambiguous,
        ),
        candidates=view.candidates,
    )


def merged_fields(policy: IdentifierPolicy, merged: MergedProfiles) -> dict[str, Any]:
    """The fields that both answers about a merge by hand have."""
    return {
        "internal_user_id": merged.person.internal_user_id,
        "identifiers": identifiers_to_proto(policy, merged.person.identifiers),
        "merged_ids": merged.person.merged_ids,
        "merge_id": merged.merge_id,
    }


def user_ids_from_proto(request: identity_service_pb2.MergeProfilesJsonRequest) -> list[str]:
    """The ids in a list of any values. Raises InvalidArgument if there are too many, or one is no text."""
    values = request.internal_user_ids.values
    if len(values) > MOST_PROFILES:
        raise InvalidArgument([Violation("internal_user_ids", f"must have 1 to {MOST_PROFILES} ids")])
    problems = Violations(
        Violation(f"internal_user_ids[{position}]", "must be a text")
        for position, value in enumerate(values)
        if value.WhichOneof("kind") != "string_value"
    )
    problems.check()
    return [value.string_value for value in values]


def contact_fields(answer: ContactAnswer) -> dict[str, Any]:
    """The fields that both answers of Identify have: the nested and the flat form."""
    emails, phones, secondary = list(answer.emails), list(answer.phones), list(answer.secondary_ids)
    return {
        "contact": contact_pb2.Contact(
            primary_contact_id=answer.primary_id,
            primary_contatct_id=answer.primary_id,
            emails=emails,
            phone_numbers=phones,
            secondary_contact_ids=secondary,
        ),
        "primary_contact_id": answer.primary_id,
        "emails": emails,
        "phone_numbers": phones,
        "secondary_contact_ids": secondary,
    }


def contact_values_from_json(body: bytes) -> dict[str, str]:
    """`email` and `phoneNumber` of a JSON object; a number as `phoneNumber` is its text, digit by digit.

    Raises MalformedBodyError if the body is not JSON, InvalidArgument if it is no object or a value has another
    type.
    """
    try:
        body.decode()
        parsed = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        unusable = _fields_with_surrogates(body)
        if unusable:
            raise InvalidArgument([Violation(name, "must not have lone surrogates") for name in unusable]) from None
        raise MalformedBodyError from None
    values: dict[str, str] = {}
    problems = Violations()
    for name in ("email", "phoneNumber"):
        literal = bytes(parsed[name]).strip() if name in parsed else b"null"
        if literal == b"null":
            continue
        if literal[:1] == b'"':
            values[name] = msgspec.json.decode(literal, type=str)
        elif name == "phoneNumber" and literal[:1] in b"-0123456789":
            values[name] = literal.decode("ascii")
        else:
            problems.add(name, "must be a text or a number" if name == "phoneNumber" else "must be a text")
    problems.check()
    return values


def _fields_with_surrogates(body: bytes) -> list[str]:
    """The fields of a JSON object whose text has lone surrogates, which msgspec does not read."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return []
    fields = parsed if isinstance(parsed, dict) else {}
    return [
        name
        for name in ("email", "phoneNumber")
        if isinstance(fields.get(name), str) and any("\ud800" <= c <= "\udfff" for c in fields[name])
    ]


def entry_counts_to_proto(counts: Sequence[EntryCount]) -> audit_pb2.CountEntriesResponse:
    """A part of the counts of timeline entries."""
    response = audit_pb2.CountEntriesResponse()
    for one in counts:
        added = response.counts.add(count=one.count, digest=one.digest)
        added.minute.seconds = one.minute * 60
    return response
