"""A hook of mkdocs: documents link to files of the repository, which are no pages of the site.

Such a link becomes its text, if the file is there; one that is not there is left, so that the build fails.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

_LINK: Final = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#\s]+|[^)#:\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: object) -> str:  # noqa: ANN401 - mkdocs' own
    """Called by mkdocs for each page."""
    documents = Path(config["docs_dir"]).resolve()
    folder = (documents / page.file.src_uri).parent

    def replaced(link: re.Match[str]) -> str:
        target = (folder / link[2]).resolve()
        outside = not target.is_relative_to(documents) or target.suffix != ".md"
        return link[1] if outside and target.exists() else link[0]

    return _LINK.sub(replaced, markdown)
