"""What was built with the last release goes on working: a change that its callers would not understand is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from google.protobuf import descriptor_pb2

from protos.generate import GENERATED, RELEASED, check_compatible

Files = descriptor_pb2.FileDescriptorSet
Change = Callable[[Files], None]
_FIELD: Final = descriptor_pb2.FieldDescriptorProto


def request(files: Files) -> descriptor_pb2.DescriptorProto:
    """A message that has a field."""
    messages = (each for file in files.file if file.package == "dmp.ingest.v1" for each in file.message_type)
    return next(each for each in messages if each.name == "GetEventRequest")


def another_number(files: Files) -> None:
    request(files).field[0].number = 900


def another_type(files: Files) -> None:
    request(files).field[0].type = _FIELD.TYPE_INT32


def another_name_in_json(files: Files) -> None:
    field = request(files).field[0]
    field.name, field.json_name = "other", "other"


def no_such_rpc(files: Files) -> None:
    service = next(each for file in files.file if file.package == "dmp.ingest.v1" for each in file.service)
    del service.method[0]


def one_field_more(files: Files) -> None:
    kind, label = _FIELD.TYPE_STRING, _FIELD.LABEL_OPTIONAL
    request(files).field.add(name="more", json_name="more", number=900, type=kind, label=label)


def changed(change: Change, folder: Path) -> Path:
    """A file with the released descriptor set after a change."""
    files = Files.FromString(RELEASED.read_bytes())
    change(files)
    path = folder / "changed.binpb"
    path.write_bytes(files.SerializeToString())
    return path


@pytest.mark.parametrize("change", [another_number, another_type, another_name_in_json, no_such_rpc])
def test_what_released_callers_would_not_understand_is_refused(tmp_path: Path, change: Change) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        check_compatible(changed(change, tmp_path))


def test_a_field_may_be_added(tmp_path: Path) -> None:
    check_compatible(changed(one_field_more, tmp_path))


def test_todays_protos_are_understood_by_released_callers() -> None:
    check_compatible(GENERATED / "dmp.binpb")
