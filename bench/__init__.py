"""Benchmarks of the whole system, and of the limits it runs into: `python -m bench --help`."""
