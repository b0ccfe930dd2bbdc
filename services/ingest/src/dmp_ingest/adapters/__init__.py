"""Everything that ingest calls: its database, Redis, identity and stats."""
