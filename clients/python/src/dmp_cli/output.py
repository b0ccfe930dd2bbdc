"""Data goes to stdout, everything else to stderr; `--json` makes data JSON whatever stdout is.

Rich is imported where something is drawn: importing it takes longer than most commands work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

_JSON: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where a command speaks. json: data as JSON. quiet: no progress and no status."""

    json: bool
    quiet: bool
    color: bool

    def data(self) -> Console:
        """For data: colours only in a terminal, and lines that are never broken."""
        return self._console(sys.stdout)

    def messages(self) -> Console:
        """For people: progress and status."""
        return self._console(sys.stderr)

    def _console(self, file: TextIO) -> Console:
        from rich.console import Console

        return Console(file=file, no_color=not self.color or None, soft_wrap=True, highlight=False, emoji=False)

    def _print(self, file: TextIO, *parts: tuple[str, str]) -> None:
        """One line of texts with their styles, which only a terminal sees."""
        if file.isatty() or os.environ.get("FORCE_COLOR"):
            from rich.text import Text

            self._console(file).print(Text.assemble(*parts))
        else:
            file.write("".join(text for text, _ in parts) + "\n")
            file.flush()

    @property
    def may_draw(self) -> bool:
        """Whether progress can be drawn: a person looks at stderr, and did not ask for silence."""
        return not self.quiet and not self.json and sys.stderr.isatty()

    def value(self, value: Any) -> None:  # noqa: ANN401 - any JSON value
        """One JSON value, on one line."""
        sys.stdout.write(_JSON.encode(value).decode() + "\n")
        sys.stdout.flush()

    def line(self, text: str, style: str = "") -> None:
        """One line of data."""
        self._print(sys.stdout, (printable(text), style))

    def tree(self, tree: Tree) -> None:
        """A tree as data. Its lines are as long as they are: rich would cut them off at the width of the terminal."""
        console = self.data()
        console.print(tree.label)
        for line in _branches(tree, ""):
            console.print(line)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows in columns, two spaces apart; numbers stand right. Nothing is cut off, whatever the terminal's width."""
        texts = [[printable(str(cell)) for cell in row] for row in rows]
        numeric = [
            bool(rows) and all(isinstance(row[place], (int, float)) for row in rows) for place in range(len(columns))
        ]
        widths = [
            max(len(name), *(len(row[place]) for row in texts)) if texts else len(name)
            for place, name in enumerate(columns)
        ]

        def aligned(cells: Sequence[str]) -> str:
            parts = [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(cells, widths, numeric, strict=True)
            ]
            return "  ".join(parts).rstrip()

        self._print(sys.stdout, (aligned([name.upper() for name in columns]), "bold"))
        for row in texts:
            self._print(sys.stdout, (aligned(row), ""))

    def status(self, text: str, style: str = "") -> None:
        """A line for people."""
        if not self.quiet:
            self._print(sys.stderr, (printable(text), style))

    def error(self, lines: Sequence[str]) -> None:
        """An error for people: the first line says what, the others what to do. It is said also when quiet."""
        self._print(sys.stderr, ("dmp: ", "bold red"), (printable(lines[0]), ""))
        for line in lines[1:]:
            self._print(sys.stderr, (printable(line), ""))


def _branches(tree: Tree, before: str) -> Iterator[Text]:
    from rich.text import Text

    for branch in tree.children:
        is_last = branch is tree.children[-1]
        label = branch.label if isinstance(branch.label, Text) else Text(str(branch.label))
        yield Text.assemble(before, "└── " if is_last else "├── ", label)
        yield from _branches(branch, before + ("    " if is_last else "│   "))


def printable(text: str) -> str:
    """Without characters that would change the terminal: values come from strangers."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
