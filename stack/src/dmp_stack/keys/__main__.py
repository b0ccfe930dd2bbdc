"""`python -m dmp_stack.keys`: the commands for keys alone, as their own image runs them."""

from __future__ import annotations

import argparse
import os
import sys

from dmp_stack.keys.commands import add_arguments, run

if __name__ == "__main__":
    os.umask(0o077)
    parser = argparse.ArgumentParser(prog="python -m dmp_stack.keys")
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))
