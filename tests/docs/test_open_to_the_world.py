"""The how-to that opens a system to others, done from its first line to its last: each `make run` of it is a system."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from dmp_stack.programs import repository_root
from dmp_stack.settings import StackSettings
from dmp_stack.stack import Stack
from tests.clients.terminal import environment
from tests.clients.zygote import Zygote
from tests.docs.desk import Desk
from tests.docs.document import blocks_without_test

DOCUMENT: Final = repository_root() / "docs" / "open-to-the-world.md"
START: Final = "make run"


@dataclass
class OpenDesk(Desk):
    """A desk where `make run` starts a system with the settings in front of it, and ends the one before.

    seed: databases that were made once.
    """

    seed: Path | None = None
    running: Stack | None = None

    def output(self, command: str) -> str:
        """What a command prints; of `make run` what the launcher says until the system is ready."""
        if not command.endswith(START):
            return super().output(command)
        variables = dict(word.split("=", 1) for word in shlex.split(command.removesuffix(START).replace("\\\n", " ")))
        settings = replace(StackSettings.from_env(variables), http_port=0, postgres_seed=self.seed)
        self.stop()
        said = [f"starting; data in {settings.data_directory}"]
        self.running = Stack(settings, report=said.append)
        self.running.start()
        self.address = self.running.grpc_address
        said.append(f"ready on {self.running.http_url}")
        return "\n".join(f"dmp: {sentence}" for sentence in said)

    def stop(self) -> None:
        """Ends the system that runs, if one does."""
        if self.running is not None:
            self.running.stop()
            self.running = None


@pytest.fixture
def desk(
    server_directory: Path, postgres_seed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenDesk]:
    home = server_directory / "open"  # PostgreSQL's own user has to get in
    home.mkdir()
    zygote = Zygote(tmp_path, environment(tmp_path, ""))
    made = OpenDesk(home, "", zygote, patience_seconds=20, seed=postgres_seed)
    made.prepare()
    (home / "desk" / "deploy").symlink_to(repository_root() / "deploy")
    monkeypatch.chdir(home / "desk")
    yield made
    made.stop()
    zygote.close()


@pytest.mark.timeout(300)
def test_what_it_shows_is_what_comes(desk: OpenDesk) -> None:
    commands, differences = desk.run(DOCUMENT)
    assert not differences, "\n\n".join(differences)
    assert commands > 25


def test_no_command_is_shown_that_is_not_run() -> None:
    assert not blocks_without_test(DOCUMENT.read_text())
