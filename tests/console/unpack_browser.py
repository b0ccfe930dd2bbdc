"""Unpacks the Chromium of the npm package `@sparticuz/chromium`, with the libraries and fonts that come with it.

    python -m tests.console.unpack_browser FOLDER

FOLDER has the package in `node_modules`. Afterwards it has `chromium/chromium`, `chromium/lib` and `chromium/fonts`.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import brotli


def unpack(folder: Path) -> None:
    """Makes `chromium` in a folder; takes some seconds."""
    packed = folder / "node_modules" / "@sparticuz" / "chromium" / "bin"
    target = folder / "chromium"
    target.mkdir(exist_ok=True)
    for archive in sorted(packed.rglob("*.br")):
        content = brotli.decompress(archive.read_bytes())
        if archive.name.endswith(".tar.br"):
            with tarfile.open(fileobj=io.BytesIO(content)) as files:
                files.extractall(target, filter="data")
        else:
            program = target / archive.name.removesuffix(".br")
            program.write_bytes(content)
            program.chmod(0o755)
    (target / "fonts.conf").write_text(
        f"<fontconfig><dir>{target / 'fonts'}</dir><cachedir>{target / 'font-cache'}</cachedir></fontconfig>\n"
    )


if __name__ == "__main__":
    unpack(Path(sys.argv[1]).absolute())
