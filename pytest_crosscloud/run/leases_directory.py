"""A register in a directory that hosts share: over NFS, or any file system with hard links.

Why it holds on NFS, version 3 and later, where locks and renames are no help:

- A value is a file ``<name>/<number>``; the highest number counts. It appears with all of its content, by link(2) from
  a file that was written and synchronised before. Of two that make the same number the server refuses one.
- An answer to link(2) that is lost, and asked for again, looks like a refusal. The link count of one's own file tells:
  2 means that it is there.
- A listing is read from the server: opening a directory revalidates it (close-to-open consistency; ``nocto`` turns it
  off). If one is old all the same, its reader makes a number that exists, and is refused.
- Lower numbers are removed. Who read one of them long ago could make it anew: so whoever has made a number lists once
  more, and withdraws if there is a higher one. That cannot be missed: the number could only be free because a higher
  one had been there, and the highest is never removed. Nobody else is misled meanwhile, for the highest counts.
- Time is what the server stamps on a file that is made there, so that the clocks of hosts do not matter.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from ..errors import ConfigurationError, CrosscloudError
from .registers import Reading

#: Seconds after which a file that was not made to its end was left behind.
_LEFT_BEHIND = 3600.0

#: How often to look again at a directory that changes all the time.
_LOOKS = 100


class Directory:
    """:raises ConfigurationError: it is not there, cannot be written, or has no hard links."""

    def __init__(self, path: Path) -> None:
        # One that is not there is not made: hosts would each have their own, where it is not mounted.
        if not path.is_dir():
            raise ConfigurationError(
                f"leases: there is no directory {path}", remedy="make it, or mount it: all hosts must see the same one"
            )
        self._path = path
        try:
            probe = self._temporary(path)
            linked = probe.with_name(f"{probe.name}.link")
            try:
                linked.hardlink_to(probe)
            finally:
                linked.unlink(missing_ok=True)
                probe.unlink()
            _sweep(path, self._now())
        except OSError as error:
            raise ConfigurationError(
                f"leases: {path} cannot be used: {error.strerror or error}",
                remedy="it must be writable, on a file system with hard links",
            ) from error

    def read(self, name: str) -> Reading:
        folder = self._folder(name)
        with _named(folder):
            now = self._now()
            for _ in range(_LOOKS):
                number = _latest(folder)
                if number == 0:
                    return Reading("", "", now)
                try:
                    return Reading(str(number), (folder / str(number)).read_text(), now)
                except OSError as error:  # there is a higher one by now
                    if error.errno not in (errno.ENOENT, errno.ESTALE):
                        raise
        raise CrosscloudError(f"{folder} changes too fast to be read")

    def replace(self, name: str, version: str, text: str) -> bool:
        folder = self._folder(name)
        number = int(version or 0) + 1
        with _named(folder):
            if not version and not folder.exists():
                folder.mkdir(exist_ok=True)
                _synchronise(self._path)
            temporary = self._temporary(folder, text)
            now = temporary.stat().st_mtime
            try:
                made = _link(temporary, folder / str(number))
            finally:
                temporary.unlink()
            if made and _latest(folder) > number:
                (folder / str(number)).unlink(missing_ok=True)
                return False
            if made:
                _synchronise(folder)
                _remove_below(folder, number, now)
            return made

    def close(self) -> None:
        pass

    def _folder(self, name: str) -> Path:
        return self._path / quote(name, safe="")

    def _now(self) -> float:
        """The server's time."""
        probe = self._temporary(self._path)
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink()

    @staticmethod
    def _temporary(folder: Path, text: str = "") -> Path:
        """A file of our own with ``text`` in it, on the server's disk."""
        path = folder / f".{secrets.token_hex(12)}"
        with path.open("x") as file:
            if text:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        return path


class _named:  # noqa: N801  # a context manager reads like a function
    """What the system says of the directory becomes an error that names it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, OSError):
            raise CrosscloudError(f"leases: {self._folder}: {error.strerror or error}") from error


def _latest(folder: Path) -> int:
    """The highest number; 0: there is none."""
    try:
        return max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0)
    except FileNotFoundError:
        return 0


def _link(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError as error:
        if source.stat().st_nlink == 2:
            return True
        if isinstance(error, FileExistsError):
            return False
        raise
    return True


def _remove_below(folder: Path, number: int, now: float) -> None:
    for path in folder.iterdir():
        if path.name.isdigit() and int(path.name) < number:
            path.unlink(missing_ok=True)
    _sweep(folder, now)


def _sweep(folder: Path, now: float) -> None:
    """Remove what those left behind that were killed while they made it."""
    for path in folder.glob(".*"):
        with suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_mtime < now - _LEFT_BEHIND:
                path.unlink()


def _synchronise(folder: Path) -> None:
    """What was made in the directory is kept through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that does it at once knows no fsync of directories
            raise
    finally:
        os.close(descriptor)
