"""The browser of the tests: `make test` unpacks it into the virtual environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

BROWSER = Path(sys.prefix) / "browser"
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-zygote",
)


@contextmanager
def chromium(*, arguments: Sequence[str] = (), without: Sequence[str] = ()) -> Iterator[Browser]:
    """A Chromium that runs while the block does.

    arguments: given to it beside those that it always has. without: those of the driver that it does not get.
    """
    folder = BROWSER / "chromium"
    environment: dict[str, str | float | bool] = {
        **os.environ,
        "LD_LIBRARY_PATH": str(folder / "lib"),
        "FONTCONFIG_PATH": str(folder),
    }
    with sync_playwright() as driver:
        launched = driver.chromium.launch(
            executable_path=folder / "chromium",
            args=[*_ARGUMENTS, *arguments],
            ignore_default_args=list(without),
            env=environment,
        )
        yield launched
        launched.close()
