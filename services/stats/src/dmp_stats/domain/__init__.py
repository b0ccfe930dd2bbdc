"""Pure rules of counting: no I/O, no clock. Arrays are numpy's."""
