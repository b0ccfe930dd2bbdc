"""A canary: an event every few seconds through the gateway, whose way to every view of it is timed."""
