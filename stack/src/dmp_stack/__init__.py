"""The embedded stack: Envoy, PostgreSQL, Valkey and the three services as children of one process."""
