"""Reads a bbolt database, the format of containerd's metadata (go.etcd.io/bbolt: page.go, meta.go, bucket.go)."""

from __future__ import annotations

import struct
from pathlib import Path

_MAGIC = 0xED0CDAED
_PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
_META = struct.Struct("<IIIIQQQQQ")  # magic, version, page size, flags, root, sequence, freelist, pages, transaction
_LEAF = struct.Struct("<IIII")  # flags, position, key size, value size
_BRANCH = struct.Struct("<IIQ")  # position, key size, page
_BUCKET = struct.Struct("<QQ")  # root page, sequence

_FLAG_BRANCH = 0x01
_FLAG_BUCKET = 0x01

#: Keys with their values, by the path of the bucket that holds them.
Buckets = dict[tuple[bytes, ...], dict[bytes, bytes]]


def read(path: Path) -> Buckets:
    """The whole database. It must not be open for writing.

    :raises ValueError: it is not a bbolt database.
    """
    data = path.read_bytes()
    found: Buckets = {}
    try:
        (size,) = struct.unpack_from("<I", data, _PAGE.size + 8)
        metas = [_META.unpack_from(data, offset + _PAGE.size) for offset in (0, size)]
        newest = max((meta for meta in metas if meta[0] == _MAGIC), key=lambda meta: meta[8])
        _walk(data, size, newest[4] * size, (), found)
    except (struct.error, ValueError, RecursionError) as error:
        raise ValueError(f"not a bbolt database: {path}") from error
    return found


def _walk(data: bytes, size: int, offset: int, path: tuple[bytes, ...], found: Buckets) -> None:
    """Add the bucket whose page lies at ``offset``, and those within it."""
    values = found.setdefault(path, {})
    _, flags, count, _ = _PAGE.unpack_from(data, offset)
    for index in range(count):
        element = offset + _PAGE.size + index * _LEAF.size
        if flags & _FLAG_BRANCH:
            _walk(data, size, _BRANCH.unpack_from(data, element)[2] * size, path, found)
            continue
        kind, position, key_size, value_size = _LEAF.unpack_from(data, element)
        value = element + position + key_size
        key = data[element + position : value]
        if kind & _FLAG_BUCKET:
            root, _ = _BUCKET.unpack_from(data, value)
            # A small bucket has no page of its own: it follows its header.
            _walk(data, size, root * size if root else value + _BUCKET.size, (*path, key), found)
        else:
            values[key] = data[value : value + value_size]
