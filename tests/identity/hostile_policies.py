"""Policies that a stranger could send to keep the service busy: each at most 80 KB, none of any use."""

from __future__ import annotations

HOSTILE = {
    "a dotted key": "a." * 40_000 + "a=1",
    "dotted keys within the bound": "a.a.a.a.a.a.a.a=1\n" * 3000,
    "a dotted key in a table's name": "[" + "a." * 20_000 + "a]",
    "a dotted key after a text that ends in quotes": 'x=["""a"""", {' + "a." * 20_000 + 'a=1}, "b"]',
    "nested arrays": "x=" + "[" * 60_000,
    "nested tables": "x=" + "{a=" * 20_000,
    "a number of very many digits": "x=" + "1" * 60_000,
    "texts that never end": 'x="' + '\\"' * 30_000,
    "quotes": '"' * 65_000,
    "escaped quotes": 'x="""' + '\\"""' * 16_000,
    "many tables": "".join(f"[t{n}]\n" for n in range(8000)),
    "many arrays of tables": "[[a]]\n" * 10_000,
    "many patterns": "[types.email]\nstrength='strong'\nblocked_patterns=[" + "'(a{30}){30}'," * 4000 + "]",
}
