"""The identity graph, contacts, timelines, inbox and outbox."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = (
    "CREATE SEQUENCE profile_ids AS bigint",
    "CREATE SEQUENCE contact_ids AS integer",
    """
    CREATE TABLE profile (
      id bigint PRIMARY KEY,
      root_id bigint NOT NULL,
      created_at_us bigint NOT NULL,
      identified boolean NOT NULL
    )
    """,
    "CREATE INDEX profile_merged ON profile (root_id) WHERE root_id <> id",
    """
    CREATE TABLE identifier (
      type text COLLATE "C" NOT NULL,
      value text COLLATE "C" NOT NULL,
      profile_id bigint NOT NULL,
      first_seen_at_us bigint NOT NULL,
      ordinal integer NOT NULL,
      shown text,
      cause text NOT NULL,
      ref text COLLATE "C" NOT NULL,
      source text NOT NULL,
      via_type text COLLATE "C",
      via_value text COLLATE "C",
      shared_at_us bigint,
      PRIMARY KEY (type, value)
    )
    """,
    "CREATE INDEX identifier_profile ON identifier (profile_id)",
    "CREATE INDEX identifier_via ON identifier (via_type, via_value, type) WHERE via_type IS NOT NULL",
    """
    CREATE TABLE identifier_pair (
      type_a text COLLATE "C" NOT NULL,
      value_a text COLLATE "C" NOT NULL,
      type_b text COLLATE "C" NOT NULL,
      value_b text COLLATE "C" NOT NULL,
      cause text NOT NULL,
      ref text COLLATE "C" NOT NULL,
      source text NOT NULL,
      at_us bigint NOT NULL,
      PRIMARY KEY (type_a, value_a, type_b, value_b)
    )
    """,
    "CREATE INDEX identifier_pair_b ON identifier_pair (type_b, value_b)",
    """
    CREATE TABLE weak_link (
      type text COLLATE "C" NOT NULL,
      value text COLLATE "C" NOT NULL,
      profile_id bigint NOT NULL,
      first_seen_at_us bigint NOT NULL,
      ordinal integer NOT NULL,
      shown text,
      PRIMARY KEY (type, value, profile_id)
    )
    """,
    "CREATE INDEX weak_link_profile ON weak_link (profile_id)",
    """
    CREATE TABLE anonymous_profile (
      type text COLLATE "C" NOT NULL,
      value text COLLATE "C" NOT NULL,
      profile_id bigint NOT NULL,
      PRIMARY KEY (type, value)
    )
    """,
    "CREATE INDEX anonymous_profile_profile ON anonymous_profile (profile_id)",
    """
    CREATE TABLE timeline_entry (
      profile_id bigint NOT NULL,
      occurred_at_us bigint NOT NULL,
      event_id text COLLATE "C" NOT NULL,
      type text NOT NULL,
      source text NOT NULL,
      PRIMARY KEY (profile_id, occurred_at_us, event_id)
    )
    """,
    """
    CREATE TABLE merge (
      id uuid PRIMARY KEY,
      cause text NOT NULL,
      ref text COLLATE "C" NOT NULL,
      source text NOT NULL,
      reason text NOT NULL,
      merged_at_us bigint NOT NULL,
      undone_at_us bigint,
      undo_reason text
    )
    """,
    """
    CREATE TABLE merge_edge (
      merge_id uuid NOT NULL,
      ordinal integer NOT NULL,
      survivor_id bigint NOT NULL,
      merged_id bigint NOT NULL,
      profile_a bigint NOT NULL,
      profile_b bigint NOT NULL,
      type_a text COLLATE "C",
      value_a text COLLATE "C",
      type_b text COLLATE "C",
      value_b text COLLATE "C",
      PRIMARY KEY (merge_id, ordinal)
    )
    """,
    "CREATE INDEX merge_edge_profile_a ON merge_edge (profile_a)",
    "CREATE INDEX merge_edge_profile_b ON merge_edge (profile_b)",
    """
    CREATE TABLE never_merge (
      id uuid PRIMARY KEY,
      profile_a bigint NOT NULL,
      profile_b bigint NOT NULL,
      merge_id uuid,
      reason text NOT NULL,
      created_at_us bigint NOT NULL,
      removed_at_us bigint,
      removal_reason text
    )
    """,
    "CREATE INDEX never_merge_profile_a ON never_merge (profile_a)",
    "CREATE INDEX never_merge_profile_b ON never_merge (profile_b)",
    """
    CREATE TABLE contact (
      id integer PRIMARY KEY,
      "phoneNumber" text,
      email text,
      "linkedId" integer,
      "linkPrecedence" text NOT NULL,
      "createdAt" timestamptz NOT NULL,
      "updatedAt" timestamptz NOT NULL,
      "deletedAt" timestamptz,
      profile_id bigint NOT NULL,
      CONSTRAINT contact_link_precedence CHECK ("linkPrecedence" IN ('primary', 'secondary')),
      CONSTRAINT contact_linked_id CHECK (("linkedId" IS NULL) = ("linkPrecedence" = 'primary'))
    )
    """,
    "CREATE INDEX contact_profile ON contact (profile_id)",
    """
    CREATE TABLE merge_contact (
      merge_id uuid NOT NULL,
      contact_id integer NOT NULL,
      PRIMARY KEY (merge_id, contact_id)
    )
    """,
    "CREATE INDEX merge_contact_contact ON merge_contact (contact_id)",
    """
    CREATE TABLE review (
      rule text COLLATE "C" NOT NULL,
      type text COLLATE "C" NOT NULL,
      value text COLLATE "C" NOT NULL,
      profile_id bigint NOT NULL,
      other_profile_id bigint NOT NULL,
      times bigint NOT NULL,
      first_at_us bigint NOT NULL,
      last_at_us bigint NOT NULL,
      ref text COLLATE "C" NOT NULL,
      source text NOT NULL,
      PRIMARY KEY (rule, type, value, profile_id, other_profile_id)
    )
    """,
    "CREATE INDEX review_last ON review (last_at_us)",
    "CREATE INDEX review_profile ON review (profile_id)",
    """
    CREATE TABLE erasure (
      id uuid PRIMARY KEY,
      profile_ids bigint[] NOT NULL,
      counts jsonb NOT NULL,
      erased_at_us bigint NOT NULL,
      confirmed_at_us bigint
    )
    """,
    "CREATE INDEX erasure_time ON erasure (erased_at_us)",
    """
    CREATE TABLE erasure_event (
      erasure_id uuid NOT NULL,
      event_id text COLLATE "C" NOT NULL,
      PRIMARY KEY (erasure_id, event_id)
    )
    """,
    """
    CREATE TABLE erased_identifier (
      digest bytea PRIMARY KEY,
      erasure_id uuid NOT NULL,
      erased_at_us bigint NOT NULL,
      strong boolean NOT NULL
    )
    """,
    "CREATE TABLE erasure_salt (salt text PRIMARY KEY)",
    "INSERT INTO erasure_salt VALUES (gen_random_uuid()::text || gen_random_uuid()::text)",
    "CREATE TABLE inbox (batch_id uuid PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
    """
    CREATE TABLE domain_event_outbox (
      id uuid PRIMARY KEY,
      kind text NOT NULL,
      occurred_at timestamptz NOT NULL,
      payload jsonb NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "domain_event_outbox",
        "inbox",
        "erasure_salt",
        "erased_identifier",
        "erasure_event",
        "erasure",
        "review",
        "merge_contact",
        "contact",
        "never_merge",
        "merge_edge",
        "merge",
        "timeline_entry",
        "anonymous_profile",
        "weak_link",
        "identifier_pair",
        "identifier",
        "profile",
    ):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP SEQUENCE contact_ids")
    op.execute("DROP SEQUENCE profile_ids")
