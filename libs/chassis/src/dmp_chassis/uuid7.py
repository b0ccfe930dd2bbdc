"""Identifiers: UUID version 7, whose text sorts by the time at which it was made.

Strictly increasing in this process, over all threads, also when the clock goes back; a forked process draws other ones.
*Source:* RFC 9562, sections 5.7 and 6.2. The standard library has them from Python 3.14 on.
"""

from __future__ import annotations

import uuid

import uuid_utils
from uuid_utils import compat


def uuid7() -> uuid.UUID:
    """A new one."""
    return compat.uuid7()


def uuid7_text() -> str:
    """The text of a new one, without the detour over a UUID object."""
    return str(uuid_utils.uuid7())
