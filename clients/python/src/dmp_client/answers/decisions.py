"""Answers about what makes people one, keeps them apart, or erases them. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from dmp_client.answers.people import Identifiers


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """The person after a merge. merge_id: empty if there was nothing to merge."""

    internal_user_id: str
    identifiers: Identifiers
    merged_ids: Sequence[str] = ()
    merge_id: str = ""


class NeverMerge(msgspec.Struct, frozen=True, kw_only=True):
    """Two people who stay apart whatever evidence says. created_at: Unix seconds."""

    never_merge_id: str
    internal_user_ids: Sequence[str]
    reason: str = ""
    created_at: float = 0.0
    merge_id: str = ""


class Undone(msgspec.Struct, frozen=True, kw_only=True):
    """What undoing a merge did."""

    merge_id: str
    internal_user_ids: Sequence[str]
    never_merges: Sequence[NeverMerge] = ()
    already_undone: bool = False


class MergeEdge(msgspec.Struct, frozen=True, kw_only=True):
    """Two people who became one. evidence: the identifiers that connected them, as `type:value`."""

    survivor_id: str
    merged_id: str
    profile_ids: Sequence[str] = ()
    evidence: Sequence[str] = ()


class MergeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One merge in a person's history. Times are Unix seconds."""

    merge_id: str
    cause: str
    ref: str = ""
    source: str = ""
    reason: str = ""
    merged_at: float = 0.0
    edges: Sequence[MergeEdge] = ()
    undone: bool = False
    undone_at: float = 0.0
    undo_reason: str = ""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The merges of a person, and with whom it must never be merged."""

    internal_user_id: str
    merges: Sequence[MergeRecord] = ()
    never_merges: Sequence[NeverMerge] = ()


class Step(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One link of the chain between two identifiers or people. at: Unix seconds."""

    from_: str
    to: str
    cause: str = ""
    ref: str = ""
    source: str = ""
    at: float = 0.0
    rule: str = ""
    merge_id: str = ""


class Objection(msgspec.Struct, frozen=True, kw_only=True):
    """Why two people are not one."""

    rule: str
    identifier: str = ""
    message: str = ""
    ref: str = ""
    times: int = 0
    at: float = 0.0


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why two identifiers are one person, or why not. weakest_link: the position in `chain`, -1 without a chain."""

    same_person: bool
    from_user_id: str = ""
    to_user_id: str = ""
    chain: Sequence[Step] = ()
    weakest_link: int = -1
    objections: Sequence[Objection] = ()


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the audit log of acts.

    actor: the name of an API key, `operator` for a command on the server's machine, `-` where no keys are asked for.
    result: `done`, `unchanged` if there was nothing to do, or a step of something longer (`requested`, `complete`).
    refs: other names, such as `merge_id`. counts: how much it was. reason: empty if none was given or it was erased.
    """

    action_id: str
    acted_at: datetime
    kind: str
    actor: str
    result: str
    internal_user_ids: Sequence[str] = ()
    refs: Mapping[str, str] = {}
    counts: Mapping[str, int] = {}
    reason: str = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence that was not followed, for a person to review. Times are Unix seconds."""

    rule: str
    identifier: str
    value: str
    internal_user_id: str = ""
    other_user_id: str = ""
    times: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    ref: str = ""
    source: str = ""


class GraphNode(msgspec.Struct, frozen=True, kw_only=True):
    """A profile, an identifier or somebody else in a person's graph. at: Unix seconds, 0 if it has no time."""

    id: str
    kind: str = ""
    label: str = ""
    internal_user_id: str = ""
    strength: str = ""
    at: float = 0.0


class GraphEdge(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What connects two nodes. merge_id: of a merge, which can be undone."""

    from_: str
    to: str
    kind: str = ""
    merge_id: str = ""


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """A person as nodes and edges."""

    internal_user_id: str
    nodes: Sequence[GraphNode] = ()
    edges: Sequence[GraphEdge] = ()


class Detached(msgspec.Struct, frozen=True, kw_only=True):
    """An identifier that was taken from a person has a profile of its own, kept apart from the person."""

    internal_user_id: str
    detached_user_id: str
    never_merge: NeverMerge | None = None


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """Whose an identifier is that was given back. merge_id: empty if there was nothing to give back."""

    internal_user_id: str
    merge_id: str = ""


class NeverMergeRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence may merge the two people again."""

    never_merge_id: str
    already_removed: bool = False


class SharedValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value that many people share: it matches nobody any more. merges, attached: what it had joined before."""

    identifier: str
    value: str
    internal_user_id: str = ""
    shared_at: float = 0.0
    merges: int = 0
    attached: int = 0


class SharedUndone(msgspec.Struct, frozen=True, kw_only=True):
    """What one value had joined and is taken back. internal_user_ids: who they are now."""

    identifier: str
    value: str
    merge_ids: Sequence[str] = ()
    detached: int = 0
    internal_user_ids: Sequence[str] = ()


class PolicyEffect(msgspec.Struct, frozen=True, kw_only=True):
    """People whom another policy would join or part. people_after: how many they would be."""

    internal_user_ids: Sequence[str] = ()
    people_after: int = 0
    identifiers: Sequence[str] = ()


class PolicyTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What another policy would make of the stored data; the lists are the first ones, the counts are all."""

    people_before: int = 0
    people_after: int = 0
    merge_count: int = 0
    split_count: int = 0
    set_aside_count: int = 0
    merges: Sequence[PolicyEffect] = ()
    splits: Sequence[PolicyEffect] = ()


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt of an erasure: what was, or would be, erased. complete: nothing is left to do.
    state: what is going on, such as `ERASURE_STATE_SETTLING`.
    """

    internal_user_ids: Sequence[str] = ()
    erasure_id: str = ""
    identifiers: int = 0
    contacts: int = 0
    merges: int = 0
    timeline_entries: int = 0
    cleaned_events: int = 0
    requested_at: datetime | None = None
    complete: bool = False
    dry_run: bool = False
    state: str = ""
