"""The identity graph: which person an event belongs to, and who a person is."""
