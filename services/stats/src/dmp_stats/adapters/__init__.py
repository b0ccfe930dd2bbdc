"""What stats calls: PostgreSQL."""
