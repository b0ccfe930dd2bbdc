"""What can go wrong with the stack in a way that a person at the terminal can mend."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot start or go on. The text is complete, for a person, and names the remedy where there is one."""
