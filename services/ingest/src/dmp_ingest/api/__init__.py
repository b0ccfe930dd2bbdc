"""Everything that calls ingest: the gRPC servicer, conversions, and what a caller sees of an error."""
