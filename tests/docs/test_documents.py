"""Every command that README, tutorial and how-tos show is run against a fresh system, and prints what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from dmp_stack.programs import repository_root
from dmp_stack.settings import CONTEXTS
from dmp_stack.stack import Stack
from tests.clients.terminal import environment
from tests.clients.zygote import Zygote
from tests.docs.desk import Desk
from tests.docs.document import blocks_without_test

ROOT = repository_root()
RUNBOOKS = [path for path in sorted((ROOT / "docs" / "runbooks").glob("*.md")) if path.name != "README.md"]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "docs" / "tutorial.md",
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *RUNBOOKS,
]


@pytest.fixture(scope="module")
def fresh_stack(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """A system in which nothing has happened yet, as `make run` starts it the first time. README is run first."""
    with new_stack() as running:
        yield running


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Runs `dmp` without starting Python for each command."""
    directory = tmp_path_factory.mktemp("zygote")
    running = Zygote(directory, environment(directory, ""))
    yield running
    running.close()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
@pytest.mark.timeout(300)
def test_what_it_shows_is_what_comes(document: Path, tmp_path: Path, fresh_stack: Stack, zygote: Zygote) -> None:
    desk = Desk(
        tmp_path, fresh_stack.http_url.removeprefix("http://").rstrip("/"), zygote, others=_metrics(fresh_stack)
    )
    desk.prepare()
    commands, differences = desk.run(document)
    assert not differences, "\n\n".join(differences)
    assert commands, f"{document.name} shows no command that is run"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_no_command_is_shown_that_is_not_run(document: Path) -> None:
    assert not blocks_without_test(document.read_text())


def _metrics(stack: Stack) -> dict[str, str]:
    """Where the metrics are that documents name by their usual ports; in a loop, the ports alone."""
    urls = {f"5006{number}": httpx.URL(stack.metrics_url(context)) for number, context in enumerate(CONTEXTS, start=1)}
    return {port: str(url.port) for port, url in urls.items()}
