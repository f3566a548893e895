"""The reader of containerd's metadata, on databases laid out by hand; the e2e tests read containerd's own."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_crosscloud.machine import bolt

SIZE = 4096


def page(number: int, flags: int, elements: list[tuple[int, bytes, bytes]]) -> bytes:
    """A leaf page: (1 for a bucket, key, value) each."""
    header = struct.pack("<QHHI", number, flags, len(elements), 0)
    table, data = b"", b""
    for index, (kind, key, value) in enumerate(elements):
        position = (len(elements) - index) * 16 + len(data)
        table += struct.pack("<IIII", kind, position, len(key), len(value))
        data += key + value
    return header + table + data


def meta(number: int, root: int, transaction: int) -> bytes:
    return struct.pack("<QHHI", number, 4, 0, 0) + struct.pack(
        "<IIIIQQQQQQ", 0xED0CDAED, 2, SIZE, 0, root, 0, 2, 9, transaction, 0
    )


def branch(number: int, pages: list[int]) -> bytes:
    header = struct.pack("<QHHI", number, 1, len(pages), 0)
    return header + b"".join(struct.pack("<IIQ", 0, 0, child) for child in pages)


def database(*pages: bytes) -> bytes:
    return b"".join(content.ljust(SIZE, b"\0") for content in pages)


def test_buckets_on_pages_of_their_own_and_inline_behind_branches(tmp_path: Path) -> None:
    inline = struct.pack("<QQ", 0, 0) + page(0, 2, [(0, b"kind", b"\x03")])
    own = struct.pack("<QQ", 5, 0)
    file = tmp_path / "db"
    file.write_bytes(
        database(
            meta(0, 9, transaction=6),  # the older root is not to be followed
            meta(1, 3, transaction=7),
            b"",
            branch(3, [4, 6]),
            page(4, 2, [(1, b"a", own)]),
            page(5, 2, [(1, b"b", inline), (0, b"key", b"value")]),
            page(6, 2, [(0, b"z", b"last")]),
        )
    )
    assert bolt.read(file) == {
        (): {b"z": b"last"},
        (b"a",): {b"key": b"value"},
        (b"a", b"b"): {b"kind": b"\x03"},
    }


@given(st.binary(max_size=200))
def test_anything_else_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "no-database"
    file.write_bytes(data)
    with pytest.raises(ValueError, match="not a bbolt database"):
        bolt.read(file)
