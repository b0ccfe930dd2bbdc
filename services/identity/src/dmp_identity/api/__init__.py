"""Everything that calls the identity service."""
