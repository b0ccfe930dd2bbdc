"""Recognises a macro that a template or an ad server did not fill: a name in brackets where a value should stand.

Pure: the domain of a service may import it. It costs time in proportion to the length of the text.
"""

from __future__ import annotations

import re
from typing import Final

# What no identifier has anywhere in it: a template language's or an ad server's brackets around something.
_MACRO_INSIDE: Final = re.compile(
    r"\{\{[^{}]*\}\}|[$#@%]\{[^{}]*\}|\$\([A-Za-z_][\w.]*\)|%%[A-Za-z_][\w.:-]*%%|\[\[[^\[\]]*\]\]|<%[^<>]*%>|\{%[^{}]*%\}"
    r"|\*\|[^|*]*\|\*|\[%[^\[\]]*%\]|@@[A-Za-z_][\w.]*@@"
)
# One name in brackets, as a whole value.
_MACRO_WHOLE: Final = re.compile(
    r"(?:\{|\[|<|\(|%|##?|\|)([A-Za-z_][\w.:-]{0,63})(?:\}|\]|>|\)|%|##?|\|)|__[A-Z][A-Z0-9_]*__|\$[A-Z][A-Z0-9_]*"
)
_CLOSING: Final = {"{": "}", "[": "]", "<": ">", "(": ")", "%": "%", "#": "#", "|": "|"}
_MOST_DIGITS: Final = 3
_SIGNS_OF_A_MACRO: Final = re.compile(r"[{}\[\]<>()%$#|]|__|@@")


def is_unfilled_macro(text: str) -> bool:
    """True for `{{user_id}}`, `${user.id}`, `%%USER_ID%%`, `[USERID]`, `__UID__`, `$UID`, `<user_id>` and the like."""
    if _SIGNS_OF_A_MACRO.search(text) is None:
        return False
    return _MACRO_INSIDE.search(text) is not None or _is_bracketed_name(text)


def _is_bracketed_name(text: str) -> bool:
    match = _MACRO_WHOLE.fullmatch(text)
    if match is None:
        return False
    name = match[1]
    if name is None:
        return True
    # `{AF2504E0-4F89-11D3-9A0C-0305E82C3301}` and `[user-8842391]` are how some systems write an id.
    return _CLOSING[text[0]] == text[-1] and sum(map(str.isdigit, name)) <= _MOST_DIGITS
