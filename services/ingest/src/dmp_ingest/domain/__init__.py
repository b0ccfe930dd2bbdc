"""Pure rules of the event log: no I/O, no clock, no randomness, no protobuf."""
