"""`make top`: the numbers of a running system in a terminal, from the same metrics that Prometheus reads."""

from __future__ import annotations

import argparse
import os


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How the system is found, and how it is shown."""
    directory = os.environ.get("DMP_DATA_DIR") or ".data"
    parser.add_argument(
        "--endpoints",
        default=f"{directory}/endpoints.env",
        help="where a running stack says what is where: %(default)s",
    )
    parser.add_argument("--interval", type=float, default=2.0, help="seconds from one reading to the next: %(default)s")
    parser.add_argument("--once", action="store_true", help="print one frame and end; so it is, too, in a pipe")
