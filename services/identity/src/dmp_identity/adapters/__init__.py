"""Everything the identity service calls: PostgreSQL."""
