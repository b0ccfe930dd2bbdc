"""Columns of numbers and texts to and from PostgreSQL as binary arrays, without a Python object for each element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import psycopg
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.pq import Format

from dmp_chassis.binary import INT2, INT4, INT8, TEXT, UUID, array_header, sized, sized_uuid
from dmp_stats.domain.cells import Ints

_INT4_ARRAY, _INT8_ARRAY = 1007, 1016


@dataclass(frozen=True, slots=True)
class Int2Array:
    """A one-dimensional `int2[]`, encoded."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Int4Array:
    """A one-dimensional `int4[]`, encoded."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Int8Array:
    """A one-dimensional `int8[]`, encoded."""

    data: bytes


@dataclass(frozen=True, slots=True)
class TextArray:
    """A one-dimensional `text[]`, encoded."""

    data: bytes


@dataclass(frozen=True, slots=True)
class UuidArray:
    """A one-dimensional `uuid[]`, encoded."""

    data: bytes


def int2_array(values: Ints) -> Int2Array:
    """The numbers as `int2[]`."""
    return Int2Array(_fixed(values, INT2, ">i2"))


def int4_array(values: Ints) -> Int4Array:
    """The numbers as `int4[]`."""
    return Int4Array(_fixed(values, INT4, ">i4"))


def int8_array(values: Ints) -> Int8Array:
    """The numbers as `int8[]`."""
    return Int8Array(_fixed(values, INT8, ">i8"))


def text_array(texts: Sequence[str], positions: Ints) -> TextArray:
    """One text for each position: each different text is encoded once."""
    encoded = [sized(text.encode()) for text in texts]
    return TextArray(array_header(TEXT, len(positions)) + b"".join([encoded[place] for place in positions.tolist()]))


def uuid_array(values: Sequence[bytes], positions: Ints) -> UuidArray:
    """One 16-byte value for each position."""
    encoded = [sized_uuid(value) for value in values]
    return UuidArray(array_header(UUID, len(positions)) + b"".join([encoded[place] for place in positions.tolist()]))


def array_cursor(connection: psycopg.AsyncConnection[Any]) -> psycopg.AsyncCursor[Any]:
    """A cursor that takes the arrays above as parameters and gives results in binary, `int4[]` and `int8[]` as numpy
    columns.
    """
    cursor = connection.cursor(binary=True)
    for kind, dumper in _DUMPERS:
        cursor.adapters.register_dumper(kind, dumper)
    cursor.adapters.register_loader(_INT4_ARRAY, _Int4ArrayLoader)
    cursor.adapters.register_loader(_INT8_ARRAY, _Int8ArrayLoader)
    return cursor


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Int2Array | Int4Array | Int8Array | TextArray | UuidArray) -> Buffer:
        return obj.data


class _Int2ArrayDumper(_ArrayDumper):
    oid = 1005


class _Int4ArrayDumper(_ArrayDumper):
    oid = _INT4_ARRAY


class _Int8ArrayDumper(_ArrayDumper):
    oid = _INT8_ARRAY


class _TextArrayDumper(_ArrayDumper):
    oid = 1009


class _UuidArrayDumper(_ArrayDumper):
    oid = 2951


_DUMPERS: Final = (
    (Int2Array, _Int2ArrayDumper),
    (Int4Array, _Int4ArrayDumper),
    (Int8Array, _Int8ArrayDumper),
    (TextArray, _TextArrayDumper),
    (UuidArray, _UuidArrayDumper),
)


class _IntArrayLoader(Loader):
    """Reads arrays without nulls."""

    format = Format.BINARY
    element: ClassVar[np.dtype[Any]]

    def load(self, data: Buffer) -> Ints:
        if len(data) <= 12:
            return np.zeros(0, np.int64)
        return np.frombuffer(data, self.element, offset=20)["value"].astype(np.int64)


class _Int4ArrayLoader(_IntArrayLoader):
    element = np.dtype([("length", ">i4"), ("value", ">i4")])


class _Int8ArrayLoader(_IntArrayLoader):
    element = np.dtype([("length", ">i4"), ("value", ">i8")])


def _fixed(values: Ints, oid: int, width: str) -> bytes:
    element = np.dtype(width)
    rows = np.empty(len(values), np.dtype([("length", ">i4"), ("value", width)]))
    rows["length"] = element.itemsize
    rows["value"] = values
    return array_header(oid, len(values)) + rows.tobytes()
