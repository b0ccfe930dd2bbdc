"""The header that leads to the next page of an answer whose body has no room for a token."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

_LONGEST_LINK: Final = 4_096
"""Headers of an answer have to fit into what any gRPC peer accepts; a longer question gets no link."""


def next_page_link(target: str, token: str) -> tuple[str, str] | None:
    """The header `link` with `rel="next"`: the same path and question with another page token.

    target: path and query as the caller sent them. None if there is no next page, or no room. *Source:* RFC 8288.
    """
    if not token:
        return None
    path, _, query = target.partition("?")
    parameters = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "page_token"]
    question = urlencode([*parameters, ("page_token", token)])
    link = f'<{quote(path, safe="/%:@")}?{question}>; rel="next"'
    return ("link", link) if len(link) <= _LONGEST_LINK else None
