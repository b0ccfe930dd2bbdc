"""Between protobuf messages and the history of merges."""

from __future__ import annotations

from dmp.identity.v1 import merge_pb2
from dmp_identity.adapters.merge_store import StoredMerge
from dmp_identity.adapters.never_merge_store import StoredNeverMerge
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.profile_id import public_id
from dmp_identity.keep_apart import MergeHistory
from dmp_identity.undo_merge import UndoneMerge


def key_text(key: Key) -> str:
    """An identifier as `type:value`."""
    return f"{key[0]}:{key[1]}"


def seconds(at_us: int | None) -> float:
    """Unix seconds; 0 for no time."""
    return (at_us or 0) / 1e6


def merge_to_proto(merge: StoredMerge) -> merge_pb2.MergeRecord:
    """One merge of a history."""
    return merge_pb2.MergeRecord(
        merge_id=merge.id,
        cause=merge.cause,
        ref=merge.ref,
        source=merge.source,
        reason=merge.reason,
        merged_at=seconds(merge.merged_at_us),
        edges=[
            merge_pb2.MergeEdge(
                survivor_id=public_id(edge.survivor),
                merged_id=public_id(edge.merged),
                profile_ids=[public_id(edge.profile_a), public_id(edge.profile_b)],
                evidence=[key_text(key) for key in (edge.key_a, edge.key_b) if key is not None],
            )
            for edge in merge.edges
        ],
        undone=merge.undone_at_us is not None,
        undone_at=seconds(merge.undone_at_us),
        undo_reason=merge.undo_reason,
    )


def never_merge_to_proto(kept: StoredNeverMerge) -> merge_pb2.NeverMerge:
    """What keeps two people apart."""
    return merge_pb2.NeverMerge(
        never_merge_id=kept.id,
        internal_user_ids=[public_id(kept.profile_a), public_id(kept.profile_b)],
        reason=kept.reason,
        created_at=seconds(kept.created_at_us),
        merge_id=kept.merge_id,
    )


def undone_to_proto(undone: UndoneMerge) -> merge_pb2.UndoMergeResponse:
    """The answer of UndoMerge."""
    return merge_pb2.UndoMergeResponse(
        merge_id=undone.merge_id,
        internal_user_ids=[public_id(root) for root in undone.people],
        never_merges=[never_merge_to_proto(kept) for kept in undone.never_merges],
        already_undone=undone.already_undone,
    )


def history_to_proto(history: MergeHistory) -> merge_pb2.ListMergesResponse:
    """The answer of ListMerges."""
    return merge_pb2.ListMergesResponse(
        internal_user_id=public_id(history.root),
        merges=[merge_to_proto(merge) for merge in history.merges],
        never_merges=[never_merge_to_proto(kept) for kept in history.never_merges],
    )
