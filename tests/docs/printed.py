"""Whether what a command printed is what a document shows.

Ids differ from run to run: those of the document stand for those that come, always for the same, also in commands.
A time stands for any time, unless a command of the document named it. `…` stands for anything; at the end of a JSON
object, for more members, whose order is nobody's promise. JSON may be broken into lines; columns may be wider or
narrower.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

REST: Final = "…"
_UUID: Final = r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
_USER: Final = r"\buser_\d+\b"  # as documents write it
_ANY_USER: Final = r"\buser_(?!ids?\b)[0-9a-z]+\b"
_TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
_SECONDS: Final = r"\b1[78]\d{8}(?:\.\d+)?\b"
_TOKEN: Final = re.compile(f"(?P<uuid>{_UUID})|(?P<user>{_USER})|(?P<time>{_TIME}|{_SECONDS})|(?P<gap>…)")


@dataclass(slots=True)
class Printed:
    """What is known while a document is run.

    ids: which came for which of the document. times: those that its commands named.
    """

    ids: dict[str, str] = field(default_factory=dict)
    times: set[str] = field(default_factory=set)

    def put_in(self, text: str) -> str:
        """A command, or a file, with the ids that came."""
        self.times.update(re.findall(f"{_TIME}|{_SECONDS}", text))
        return re.sub(f"{_UUID}|{_USER}", lambda found: self.ids.get(found[0], found[0]), text)

    def difference(self, shown: str, came: str) -> str:
        """Why what came is not what is shown; empty if it is. Learns the ids that it meets first."""
        shown, came = _even(shown), _even(came)
        ids = dict(self.ids)
        lines = shown.splitlines()
        if lines and all(line.startswith(("{", "[")) for line in lines):
            found = _Comparison(ids, self.times).lines(lines, came.splitlines())
        else:
            found = _Comparison(ids, self.times).text(shown, came)
        if not found and len(set(ids.values())) < len(ids):
            found = f"two ids of the document stand for one: {ids}"
        if found:
            return f"{found}\nshown:\n{shown}\ncame:\n{came}\nids: {self.ids}"
        self.ids = ids
        return ""


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One comparison; learns into `ids`. Each method says where something differs, or nothing."""

    ids: dict[str, str]
    times: set[str]

    def lines(self, shown: list[str], came: list[str]) -> str:
        if len(shown) != len(came):
            return "there are more or fewer lines"
        for expected, line in zip(shown, came, strict=True):
            try:
                given = json.loads(line)
            except ValueError:
                return f"no JSON: {line}"
            if found := self.value(_with_gaps(expected), given, ""):
                return found
        return ""

    def value(self, shown: Any, came: Any, at: str) -> str:  # noqa: ANN401 - any JSON
        if shown == REST:
            return ""
        if isinstance(shown, dict) and isinstance(came, dict):
            names = shown.keys() - {REST}
            different = names - came.keys() if REST in shown else names ^ came.keys()
            if different:
                return f"{at}: {', '.join(sorted(different))} is on one side only"
            pairs = [(shown[name], came[name], f"{at}.{name}") for name in shown if name != REST]
        elif isinstance(shown, list) and isinstance(came, list) and len(shown) == len(came):
            pairs = [(*pair, f"{at}[{n}]") for n, pair in enumerate(zip(shown, came, strict=True))]
        elif isinstance(shown, bool) is isinstance(came, bool) and not self.text(str(shown), str(came)):
            return ""
        else:
            return f"{at}: {shown} and {came}"
        return next((found for pair in pairs if (found := self.value(*pair))), "")

    def text(self, shown: str, came: str) -> str:
        pattern, names, position = "", [], 0
        for token in _TOKEN.finditer(shown):
            pattern += re.escape(shown[position : token.start()])
            position = token.end()
            if token["gap"]:
                pattern += ".*?"
            elif token["time"]:
                pattern += re.escape(token[0]) if token[0] in self.times else f"(?:{_TIME}|{_SECONDS})"
            else:
                known = self.ids.get(token[0])
                names.append(token[0])
                pattern += f"({re.escape(known) if known else _UUID if token['uuid'] else _ANY_USER})"
        pattern += re.escape(shown[position:])
        match = re.fullmatch(pattern, came, re.DOTALL)
        if match is None:
            return "it is another text"
        for name, value in zip(names, match.groups(), strict=True):
            if self.ids.setdefault(name, value) != value:
                return f"{name} stands for {self.ids[name]}, and here for {value}"
        return ""


def _with_gaps(line: str) -> Any:  # noqa: ANN401 - any JSON
    """JSON with `…` in it, read: as a member of that name, as an element, or as a value."""
    line = re.sub(r"(?<=[{,])…(?=})", '"…":""', line)
    return json.loads(re.sub(r"(?<=[:\[])…(?=[,}\]])", '"…"', line))


def _even(text: str) -> str:
    """Without what does not matter: space at the ends of lines, and how JSON is broken into lines."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        if lines and lines[-1].startswith(("{", "[")) and line.startswith(" "):
            lines[-1] += line.strip()
        else:
            lines.append(line.rstrip())
    return "\n".join(
        re.sub(r"([,:{\[])\s+", r"\1", line) if line.startswith(("{", "[")) else re.sub(r" {2,}", " ", line)
        for line in lines
    )
