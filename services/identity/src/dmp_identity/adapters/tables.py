"""The tables of the identity database, as the migrations make them. Times are microseconds since 1970 unless the
type says otherwise.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from dmp_chassis.actions import action_table
from dmp_chassis.domain_events import domain_event_outbox

METADATA: Final = sa.MetaData()


def _key(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[Any]:
    """Text that is compared byte by byte, whatever the database's language."""
    return sa.Column(name, sa.Text(collation="C"), nullable=nullable, primary_key=primary_key)


def _big(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=nullable, primary_key=primary_key, autoincrement=False)


def _rules() -> sa.Column[Any]:
    """The number in `key_rules` of the rules that made the row's value."""
    return sa.Column("rules", sa.SmallInteger, nullable=False, server_default=sa.text("0"))


# One row. Triggers count in it, so that it changes with what they watch, in one transaction: `people` when profiles
# come to belong to other people, `evidence` when identifiers, links or pairs go or an identifier stops matching.
GRAPH_VERSION: Final = sa.Table(
    "graph_version",
    METADATA,
    sa.Column("is_only", sa.Boolean, sa.CheckConstraint("is_only"), primary_key=True, server_default=sa.true()),
    _big("people"),
    _big("evidence"),
)

PROFILE_IDS: Final = sa.Sequence("profile_ids", data_type=sa.BigInteger, metadata=METADATA)

PROFILE: Final = sa.Table(
    "profile",
    METADATA,
    _big("id", primary_key=True),
    # The oldest profile of the cluster, which answers for all; its own id if it is that one. Always flat.
    _big("root_id"),
    _big("created_at_us"),
    # It has a strong identifier; for the oldest of a cluster: somebody in the cluster has.
    sa.Column("identified", sa.Boolean, nullable=False),
)
# The merged profiles of a person. The person's own row needs no entry, so people who were never merged cost nothing
# here.
sa.Index("profile_merged", PROFILE.c.root_id, postgresql_where=PROFILE.c.root_id != PROFILE.c.id)

IDENTIFIER: Final = sa.Table(
    "identifier",
    METADATA,
    _key("type", primary_key=True),
    _key("value", primary_key=True),
    # The profile at which it arrived, for ever: merges do not move identifiers.
    _big("profile_id"),
    _big("first_seen_at_us"),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("shown", sa.Text, nullable=True),
    sa.Column("cause", sa.Text, nullable=False),
    _key("ref"),
    sa.Column("source", sa.Text, nullable=False),
    _key("via_type", nullable=True),
    _key("via_value", nullable=True),
    _big("shared_at_us", nullable=True),
    _rules(),
    sa.Index("identifier_profile", "profile_id"),
)
sa.Index(
    "identifier_via",
    IDENTIFIER.c.via_type,
    IDENTIFIER.c.via_value,
    IDENTIFIER.c.type,
    postgresql_where=IDENTIFIER.c.via_type.is_not(None),
)
sa.Index(
    "identifier_shared",
    IDENTIFIER.c.shared_at_us,
    IDENTIFIER.c.type,
    IDENTIFIER.c.value,
    postgresql_where=IDENTIFIER.c.shared_at_us.is_not(None),
)

# The rules that keys of each type were ever made by. `in_use`: keys made by them may be stored.
KEY_RULES: Final = sa.Table(
    "key_rules",
    METADATA,
    _key("type", primary_key=True),
    sa.Column("number", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("rules", sa.Text, nullable=False),
    sa.Column("in_use", sa.Boolean, nullable=False),
)

# Identifiers that became one with another, since other rules compare both as one value. They are kept as they were, so
# that they can be parted again.
FORMER_IDENTIFIER: Final = sa.Table(
    "former_identifier",
    METADATA,
    _key("type", primary_key=True),
    _key("value", primary_key=True),
    _big("profile_id", primary_key=True),
    # The value of the identifier that stands for it now.
    _key("part_of"),
    # The merge that this made, None if both belonged to one person.
    sa.Column("merge_id", sa.Uuid(as_uuid=False), nullable=True),
    _big("first_seen_at_us"),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("shown", sa.Text, nullable=True),
    sa.Column("cause", sa.Text, nullable=False),
    _key("ref"),
    sa.Column("source", sa.Text, nullable=False),
    _key("via_type", nullable=True),
    _key("via_value", nullable=True),
    _big("shared_at_us", nullable=True),
    sa.Index("former_identifier_profile", "profile_id"),
    sa.Index("former_identifier_part_of", "type", "part_of"),
)

# Strong identifiers that an event or a request showed together, unless `ref` or `via` of an identifier tells it.
IDENTIFIER_PAIR: Final = sa.Table(
    "identifier_pair",
    METADATA,
    _key("type_a", primary_key=True),
    _key("value_a", primary_key=True),
    _key("type_b", primary_key=True),
    _key("value_b", primary_key=True),
    sa.Column("cause", sa.Text, nullable=False),
    _key("ref"),
    sa.Column("source", sa.Text, nullable=False),
    _big("at_us"),
    sa.Index("identifier_pair_b", "type_b", "value_b"),
)

WEAK_LINK: Final = sa.Table(
    "weak_link",
    METADATA,
    _key("type", primary_key=True),
    _key("value", primary_key=True),
    _big("profile_id", primary_key=True),
    _big("first_seen_at_us"),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("shown", sa.Text, nullable=True),
    _rules(),
    sa.Index("weak_link_newest", "profile_id", "type", "first_seen_at_us", "ordinal"),
)

ANONYMOUS_PROFILE: Final = sa.Table(
    "anonymous_profile",
    METADATA,
    _key("type", primary_key=True),
    _key("value", primary_key=True),
    # In force as long as that person has no strong identifier.
    _big("profile_id"),
    sa.Index("anonymous_profile_profile", "profile_id"),
)

TIMELINE_ENTRY: Final = sa.Table(
    "timeline_entry",
    METADATA,
    _big("profile_id", primary_key=True),
    _big("occurred_at_us", primary_key=True),
    _key("event_id", primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
)

MERGE: Final = sa.Table(
    "merge",
    METADATA,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("cause", sa.Text, nullable=False),
    _key("ref"),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    _big("merged_at_us"),
    _big("undone_at_us", nullable=True),
    sa.Column("undo_reason", sa.Text, nullable=True),
)

MERGE_EDGE: Final = sa.Table(
    "merge_edge",
    METADATA,
    sa.Column("merge_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
    _big("survivor_id"),
    _big("merged_id"),
    _big("profile_a"),
    _big("profile_b"),
    _key("type_a", nullable=True),
    _key("value_a", nullable=True),
    _key("type_b", nullable=True),
    _key("value_b", nullable=True),
    sa.Index("merge_edge_profile_a", "profile_a"),
    sa.Index("merge_edge_profile_b", "profile_b"),
)
for _name, _type, _value in (("a", "type_a", "value_a"), ("b", "type_b", "value_b")):
    sa.Index(
        f"merge_edge_key_{_name}",
        MERGE_EDGE.c[_type],
        MERGE_EDGE.c[_value],
        postgresql_where=MERGE_EDGE.c[_type].is_not(None),
    )

NEVER_MERGE: Final = sa.Table(
    "never_merge",
    METADATA,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    _big("profile_a"),
    _big("profile_b"),
    # The undone merge that made it, None if a person did without one.
    sa.Column("merge_id", sa.Uuid(as_uuid=False), nullable=True),
    sa.Column("reason", sa.Text, nullable=False),
    _big("created_at_us"),
    _big("removed_at_us", nullable=True),
    sa.Column("removal_reason", sa.Text, nullable=True),
    sa.Index("never_merge_profile_a", "profile_a"),
    sa.Index("never_merge_profile_b", "profile_b"),
)

CONTACT_IDS: Final = sa.Sequence("contact_ids", data_type=sa.Integer, metadata=METADATA)


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=nullable)


CONTACT: Final = sa.Table(
    "contact",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("phoneNumber", sa.Text, nullable=True),
    sa.Column("email", sa.Text, nullable=True),
    sa.Column("linkedId", sa.Integer, nullable=True),
    sa.Column("linkPrecedence", sa.Text, nullable=False),
    _time("createdAt"),
    _time("updatedAt"),
    _time("deletedAt", nullable=True),
    # The profile at which the row arrived; merges do not move rows.
    _big("profile_id"),
    sa.CheckConstraint("\"linkPrecedence\" IN ('primary', 'secondary')", name="contact_link_precedence"),
    sa.CheckConstraint('("linkedId" IS NULL) = ("linkPrecedence" = \'primary\')', name="contact_linked_id"),
    sa.Index("contact_profile", "profile_id"),
)

# Contacts that the request which made a merge made, too: they go if the merge is undone.
MERGE_CONTACT: Final = sa.Table(
    "merge_contact",
    METADATA,
    sa.Column("merge_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("contact_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Index("merge_contact_contact", "contact_id"),
)

REVIEW: Final = sa.Table(
    "review",
    METADATA,
    _key("rule", primary_key=True),
    _key("type", primary_key=True),
    _key("value", primary_key=True),
    _big("profile_id", primary_key=True),
    _big("other_profile_id", primary_key=True),
    _big("times"),
    _big("first_at_us"),
    _big("last_at_us"),
    # The last event or request that was refused.
    _key("ref"),
    sa.Column("source", sa.Text, nullable=False),
    sa.Index("review_last", "last_at_us"),
    sa.Index("review_profile", "profile_id"),
)
sa.Index("review_other", REVIEW.c.other_profile_id, postgresql_where=REVIEW.c.other_profile_id != 0)

# Profiles that were one person until a merge was undone or an identifier was detached: the timeline of each may show
# identifiers of the others.
SEPARATED_PROFILE: Final = sa.Table(
    "separated_profile",
    METADATA,
    sa.Column("separation_id", sa.Uuid(as_uuid=False), primary_key=True),
    _big("profile_id", primary_key=True),
    sa.Index("separated_profile_profile", "profile_id"),
)

# The receipts of erasures. They name nobody: ids of profiles that are no more, and counts.
ERASURE: Final = sa.Table(
    "erasure",
    METADATA,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("profile_ids", sa.ARRAY(sa.BigInteger), nullable=False),
    sa.Column("counts", JSONB, nullable=False),
    _big("erased_at_us"),
    _big("confirmed_at_us", nullable=True),
    # When nothing about the person was left but events to clean; NULL while slices are under way.
    _big("finished_at_us", nullable=True),
    sa.Index("erasure_time", "erased_at_us"),
)

# The strong identifiers of a person whose erasure is under way; they go when it is confirmed.
ERASURE_KEY: Final = sa.Table(
    "erasure_key",
    METADATA,
    sa.Column("erasure_id", sa.Uuid(as_uuid=False), primary_key=True),
    _key("type", primary_key=True),
    _key("value", primary_key=True),
    sa.Column("shown", sa.Text, nullable=True),
)

# Timelines that an erasure has still to look through, and how far it is: its own, and others that may show its
# identifiers.
ERASURE_TIMELINE: Final = sa.Table(
    "erasure_timeline",
    METADATA,
    sa.Column("erasure_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("is_others", sa.Boolean, primary_key=True),
    _big("profile_id", primary_key=True),
    _big("occurred_at_us"),
    _key("event_id"),
)

# Events whose personal fields are still in the log, in pages.
ERASURE_PAGE: Final = sa.Table(
    "erasure_page",
    METADATA,
    sa.Column("page", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("erasure_id", sa.Uuid(as_uuid=False), nullable=False),
    # They are somebody else's: only values of the erased person have to go, if one shows any.
    sa.Column("is_others", sa.Boolean, nullable=False),
    sa.Column("events", sa.Integer, nullable=False),
    # In order.
    sa.Column("event_ids", sa.ARRAY(sa.Text(collation="C")), nullable=False),
    sa.Index("erasure_page_erasure", "erasure_id", "page"),
)

# Salted digests of erased identifiers: an event that was accepted before the erasure and comes after it is recognised.
ERASED_IDENTIFIER: Final = sa.Table(
    "erased_identifier",
    METADATA,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("erasure_id", sa.Uuid(as_uuid=False), primary_key=True),
    _big("erased_at_us"),
    sa.Column("strong", sa.Boolean, nullable=False),
)

ERASURE_SALT: Final = sa.Table(
    "erasure_salt",
    METADATA,
    sa.Column("salt", sa.Text, primary_key=True),
)

INBOX: Final = sa.Table(
    "inbox",
    METADATA,
    sa.Column("batch_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("applied_at", TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
)

DOMAIN_EVENT_OUTBOX: Final = domain_event_outbox(METADATA)

ACTION: Final = action_table(METADATA)
