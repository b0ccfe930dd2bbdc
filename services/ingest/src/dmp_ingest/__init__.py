"""The event log: what happened, once. Validation, idempotency, durability, and hand-over to identity and stats."""
