"""Between protobuf messages and taking identifiers from people."""

from __future__ import annotations

from typing import Final

from dmp.identity.v1 import separation_pb2
from dmp_chassis.actions import Asked
from dmp_identity.adapters.separation_store import SharedValue
from dmp_identity.api.convert_history import never_merge_to_proto, seconds
from dmp_identity.detach_identifier import Attached, Detached, IdentifierOfPerson
from dmp_identity.domain.profile_id import public_id
from dmp_identity.undo_shared_value import SeparatedPeople

_SHOWN: Final = 1000


def identifier_from_proto(
    request: separation_pb2.DetachIdentifierRequest | separation_pb2.AttachIdentifierRequest, asked: Asked
) -> IdentifierOfPerson:
    """The person and the identifier of a request."""
    return IdentifierOfPerson(
        internal_user_id=request.internal_user_id,
        identifier=request.identifier,
        value=request.value,
        asked=asked,
    )


def detached_to_proto(detached: Detached) -> separation_pb2.DetachIdentifierResponse:
    """Whose it is now."""
    return separation_pb2.DetachIdentifierResponse(
        internal_user_id=public_id(detached.root),
        detached_user_id=public_id(detached.profile),
        never_merge=never_merge_to_proto(detached.never_merge),
    )


def attached_to_proto(attached: Attached) -> separation_pb2.AttachIdentifierResponse:
    """Who it is now."""
    return separation_pb2.AttachIdentifierResponse(
        internal_user_id=public_id(attached.root), merge_id=attached.merge_id
    )


def shared_values_to_proto(values: list[SharedValue], next_page_token: str) -> separation_pb2.ListSharedValuesResponse:
    """A page."""
    return separation_pb2.ListSharedValuesResponse(
        values=[
            separation_pb2.SharedValue(
                identifier=shared.type,
                value=shared.value,
                internal_user_id=public_id(shared.root),
                shared_at=seconds(shared.shared_at_us),
                merges=shared.merges,
                attached=shared.attached,
            )
            for shared in values
        ],
        next_page_token=next_page_token,
    )


def separated_to_proto(separated: SeparatedPeople) -> separation_pb2.UndoSharedValueResponse:
    """What was taken back."""
    return separation_pb2.UndoSharedValueResponse(
        identifier=separated.key[0],
        value=separated.key[1],
        merge_ids=separated.merge_ids,
        detached=separated.detached,
        internal_user_ids=[public_id(root) for root in separated.people[:_SHOWN]],
    )
