"""Clones a prepared disk: what nothing ever writes to again is shared by hard links, everything else is a copy.

Shared are containerd's content blobs and the files of its committed snapshots (image layers): containers see them
through an overlay, which copies a file before it is changed. The source must not be in use.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from . import bolt

_CONTAINERD = Path("var/lib/containerd")
_BLOBS = _CONTAINERD / "io.containerd.content.v1.content/blobs"
_SNAPSHOTTER = _CONTAINERD / "io.containerd.snapshotter.v1.overlayfs"

#: snapshots.KindCommitted of containerd.
_COMMITTED = b"\x03"

_FICLONE = 0x40049409  # ioctl_ficlone(2)


def clone(source: Path, target: Path) -> None:
    """Make ``target``, which must not exist, a clone of the disk ``source``.

    :raises OSError: not to be read or written.
    """
    _tree(source, target, {source / path for path in (_BLOBS, *_committed(source))}, share=False)


def _committed(disk: Path) -> list[Path]:
    """The committed snapshots' directories, relative to the disk; none if containerd's records cannot be read."""
    try:
        records = bolt.read(disk / _SNAPSHOTTER / "metadata.db")
    except (FileNotFoundError, ValueError):
        return []
    snapshots = (snapshot for key, snapshot in records.items() if key[:2] == (b"v1", b"snapshots"))
    return [
        _SNAPSHOTTER / "snapshots" / str(_uvarint(snapshot[b"id"])) / "fs"
        for snapshot in snapshots
        if snapshot.get(b"kind") == _COMMITTED
    ]


def _uvarint(data: bytes) -> int:
    """A number as Go's encoding/binary writes it: seven bits a byte, lowest first."""
    return sum((byte & 0x7F) << (7 * index) for index, byte in enumerate(data))


def _tree(source: Path, target: Path, shared: set[Path], *, share: bool) -> None:
    target.mkdir()
    _attributes(source, target, source.stat())
    with os.scandir(source) as entries:
        for entry in entries:
            new = target / entry.name
            if entry.is_dir(follow_symlinks=False):
                path = Path(entry.path)
                _tree(path, new, shared, share=share or path in shared)
            elif not (share and _link(entry.path, new)):
                _copy(Path(entry.path), new)


def _link(source: str, target: Path) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM):
            raise
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    information = source.lstat()
    if stat.S_ISLNK(information.st_mode):
        target.symlink_to(source.readlink())
        os.chown(target, information.st_uid, information.st_gid, follow_symlinks=False)
    elif stat.S_ISREG(information.st_mode):
        _copy_data(source, target, information.st_size)
        _attributes(source, target, information)
    elif not stat.S_ISSOCK(information.st_mode):  # a socket is nothing without its process
        os.mknod(target, information.st_mode, information.st_rdev)
        _attributes(source, target, information)


def _copy_data(source: Path, target: Path, size: int) -> None:
    """As a reflink where the file system can, else by the parts that hold data: etcd allocates far ahead."""
    with source.open("rb") as reader, target.open("xb") as writer:
        in_, out = reader.fileno(), writer.fileno()
        try:
            fcntl.ioctl(out, _FICLONE, in_)
            return
        except OSError:  # not this file system, or not across two
            os.truncate(out, size)
        position = 0
        while position < size:
            try:
                position = os.lseek(in_, position, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return  # only a hole is left
            end = os.lseek(in_, position, os.SEEK_HOLE)
            while position < end:
                os.lseek(out, position, os.SEEK_SET)
                copied = os.sendfile(out, in_, position, end - position)
                if not copied:
                    return  # it has become shorter since
                position += copied


def _attributes(source: Path, target: Path, information: os.stat_result) -> None:
    os.chown(target, information.st_uid, information.st_gid)
    target.chmod(stat.S_IMODE(information.st_mode))
    for name in os.listxattr(source, follow_symlinks=False):  # overlays keep notes there
        os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
