"""`python -m dmp_stack.canary`: sends canary events to a running system. Nothing of the embedded stack is loaded."""

from __future__ import annotations

import sys

from dmp_stack.canary.run import main

if __name__ == "__main__":
    sys.exit(main())
