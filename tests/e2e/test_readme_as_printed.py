"""The requests of the README work as printed, one after another on a new system, with the answers that are printed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

import httpx

from dmp_stack.programs import repository_root

ADDRESS = "localhost:8080"
REST = "…"


def commands() -> Iterator[tuple[list[str], str]]:
    """Each `curl` of the block for each endpoint as its arguments, and the answer that is printed below, if one is."""
    text = (repository_root() / "README.md").read_text()
    block = text.partition("## One request for each endpoint\n\n```sh\n")[2].partition("```")[0]
    for piece in re.split(r"^(?=curl )", block, flags=re.MULTILINE)[1:]:
        asked, brace, printed = re.sub(r"^#.*\n", "", piece, flags=re.MULTILINE).partition("\n{")
        answer = (brace + printed).strip().replace("\n ", "")
        yield shlex.split(asked, comments=True), answer


def sent(api: httpx.Client, arguments: list[str]) -> httpx.Response:
    """What the system answers to a command line of curl."""
    assert arguments.pop(0) == "curl"
    method, body, target = "", None, ""
    while arguments:
        argument = arguments.pop(0)
        if argument == "-X":
            method = arguments.pop(0)
        elif argument == "-d":
            body = arguments.pop(0)
        else:
            assert argument.startswith(ADDRESS)
            target = argument.removeprefix(ADDRESS)
    # What curl says of a body by itself.
    headers = {} if body is None else {"content-type": "application/x-www-form-urlencoded"}
    return api.request(method or ("GET" if body is None else "POST"), target, content=body, headers=headers)


def differences(printed: object, given: object, at: str = "") -> list[str]:
    """Where an answer is not as printed. `…` stands for any text, and at the end of an object for more members."""
    if isinstance(printed, dict) and isinstance(given, dict):
        more = printed.keys() - given.keys() if REST in printed else printed.keys() ^ given.keys()
        found = [f"{at}.{name}" for name in sorted(more - {REST})]
        both = [name for name in printed if name in given]
        return found + [text for name in both for text in differences(printed[name], given[name], f"{at}.{name}")]
    if isinstance(printed, list) and isinstance(given, list) and len(printed) == len(given):
        return [
            text for n, pair in enumerate(zip(printed, given, strict=True)) for text in differences(*pair, f"{at}[{n}]")
        ]
    return [] if printed == given or (printed == REST and isinstance(given, str)) else [at]


def test_the_requests_of_the_readme_work_as_printed(own_api: httpx.Client) -> None:
    asked = 0
    for arguments, printed in commands():
        line = shlex.join(arguments)
        answer = sent(own_api, arguments)
        assert answer.status_code in {200, 202}, (line, answer.text)
        if printed:
            expected = json.loads(printed.replace(f" {REST}", f'"{REST}":""'))
            assert differences(expected, answer.json()) == [], (line, answer.text)
        asked += 1
    assert asked >= 12
