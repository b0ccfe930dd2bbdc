"""What a document does: its commands, what they are shown to print, and its files.

In a block ```` ```console ```` a line that begins with `$ ` is a command, lines that begin with `> ` belong to it, and
what follows up to the next command is its output: stdout, then stderr. A block ```` ```python ```` whose first line is
`# name.py` is written to that file. `<!-- not run: why -->` before a block leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_FENCE: Final = re.compile(
    r"^(?P<mark>```+)(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=mark)\s*$", re.MULTILINE | re.DOTALL
)
_NOT_RUN: Final = re.compile(r"<!-- not run: [^>]+ -->\s*\Z")
ADDRESS: Final = re.compile(r"\b(?:localhost|127\.0\.0\.1):(?:8080|8443)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do. line: of the document. command: to run, or empty. file: to write `text` to, or empty.

    text: what the command is shown to print, or the file's content.
    """

    line: int
    command: str = ""
    file: str = ""
    text: str = ""


def steps(markdown: str) -> Iterator[Step]:
    """What a document does, in order."""
    for block in _FENCE.finditer(markdown):
        line = markdown.count("\n", 0, block.start()) + 2
        if _NOT_RUN.search(markdown, 0, block.start()):
            continue
        body = block["body"]
        if block["language"] == "console":
            yield from _commands(body, line)
        elif block["language"] == "python" and (named := re.match(r"# (\S+\.py)\n", body)):
            yield Step(line=line, file=named[1], text=body)


def blocks_without_test(markdown: str) -> list[tuple[int, str]]:
    """Blocks that look like commands and are neither run nor marked: their lines and languages."""
    return [
        (markdown.count("\n", 0, block.start()) + 1, block["language"])
        for block in _FENCE.finditer(markdown)
        if block["language"] in ("sh", "bash", "shell") and not _NOT_RUN.search(markdown, 0, block.start())
    ]


def _commands(body: str, first_line: int) -> Iterator[Step]:
    command: list[str] = []
    output: list[str] = []
    line = first_line
    for number, text in enumerate(body.splitlines(), first_line):
        if text.startswith("$ "):
            if command:
                yield Step(line=line, command="\n".join(command), text="\n".join(output))
            command, output, line = [text[2:]], [], number
        elif command and not output and (text.startswith("> ") or text == ">"):
            command.append(text[2:])
        else:
            assert command, f"line {number}: a console block begins with a command"
            output.append(text)
    if command:
        yield Step(line=line, command="\n".join(command), text="\n".join(output))
