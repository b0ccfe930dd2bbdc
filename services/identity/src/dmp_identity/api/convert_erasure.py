"""Between protobuf messages and exports and erasures."""

from __future__ import annotations

from dmp.identity.v1 import contact_pb2
from dmp.identity.v1 import erasure_pb2 as pb
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_identity.adapters.erasure_receipts import Counts
from dmp_identity.api.convert import contact_fields, timeline_entry_to_proto
from dmp_identity.api.convert_history import merge_to_proto, never_merge_to_proto, seconds
from dmp_identity.domain.contacts import ContactRow
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.profile_id import public_id
from dmp_identity.erase_person import ErasedPerson, Erasing
from dmp_identity.export_profile import ProfileExport

_LARGEST = 2**31 - 1
_LONGEST_VALUE = 1024


def whom_from_proto(request: pb.PreviewErasureRequest | pb.ErasePersonRequest) -> Erasing:
    """Whom to erase. Raises InvalidArgument."""
    problems = [
        Violation(field, "must have 1 to 1024 characters without NUL")
        for field, text in (("identifier", request.identifier), ("value", request.value))
        if request.identifier and (not 1 <= len(text) <= _LONGEST_VALUE or "\0" in text)
    ]
    if bool(request.identifier) == bool(request.internal_user_id):
        problems.append(Violation("internal_user_id", "is required, or identifier and value, and not both"))
    if problems:
        raise InvalidArgument(problems)
    return Erasing(
        internal_user_id=request.internal_user_id, identifier=request.identifier, value=request.value.strip()
    )


def pairs_from_proto(request: pb.MatchErasedRequest) -> list[tuple[str, str]]:
    """The identifiers of the request. Raises InvalidArgument."""
    if len(request.types) != len(request.values):
        raise InvalidArgument([Violation("values", "must be as many as types")])
    return list(zip(request.types, request.values, strict=True))


def counts_to_proto(counts: Counts) -> pb.ErasureCounts:
    """How much belongs to an erasure."""
    return pb.ErasureCounts(
        profiles=counts.profiles,
        identifiers=counts.identifiers,
        contacts=counts.contacts,
        merges=counts.merges,
        refusals=counts.refusals,
        events=min(counts.events, _LARGEST),
    )


def erased_to_proto(erased: ErasedPerson) -> pb.ErasePersonResponse:
    """The answer of ErasePerson."""
    receipt = erased.receipt
    return pb.ErasePersonResponse(
        erasure_id=receipt.id,
        internal_user_ids=[public_id(profile) for profile in receipt.profiles],
        counts=counts_to_proto(receipt.counts),
        erased_at=seconds(receipt.erased_at_us),
        already_erased=erased.already_erased,
        finished=receipt.finished,
        user_ids=erased.user_ids,
    )


def export_to_proto(policy: IdentifierPolicy, export: ProfileExport) -> pb.ExportProfileResponse:
    """The answer of ExportProfile."""
    strong = {name for name, kind in policy.types.items() if kind.strong}
    return pb.ExportProfileResponse(
        internal_user_id=public_id(export.root),
        profile_ids=[public_id(member) for member in export.members],
        identifiers=[
            pb.ExportedIdentifier(
                identifier=identifier.type,
                value=identifier.shown,
                normalized=identifier.value,
                strength="strong" if identifier.type in strong else "weak",
                internal_user_id=public_id(identifier.profile),
                first_seen_at=seconds(identifier.first_seen_at_us),
                ref=identifier.ref,
                source=identifier.source,
            )
            for identifier in export.identifiers
        ],
        contact=_contact(export),
        contacts=[_contact_row(row) for row in export.contacts],
        merges=[merge_to_proto(merge) for merge in export.merges],
        never_merges=[never_merge_to_proto(kept) for kept in export.never_merges],
        events=[
            pb.ExportedEntry(event=timeline_entry_to_proto(row), internal_user_id=public_id(profile))
            for row, profile in export.events
        ],
        next_page_token=export.next_page_token,
    )


def _contact(export: ProfileExport) -> contact_pb2.Contact | None:
    if export.answer is None:
        return None
    contact: contact_pb2.Contact = contact_fields(export.answer)["contact"]
    return contact


def _contact_row(row: ContactRow) -> pb.ExportedContact:
    return pb.ExportedContact(
        id=row.id,
        phone_number=row.phone or "",
        email=row.email or "",
        linked_id=row.linked_id or 0,
        link_precedence="primary" if row.linked_id is None else "secondary",
        created_at=row.created_at.timestamp(),
        updated_at=row.updated_at.timestamp(),
    )
