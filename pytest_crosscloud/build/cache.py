"""Keeps what was built: an unchanged input is not built again, whichever registry the run uses.

Under the cache directory, per fingerprint, one folder with an OCI image layout per image. It appears by a rename
when it is complete, under a lock that the system frees when its holder dies: two runs at once build one thing once,
and a build that was killed leaves nothing that counts.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .. import paths
from ..errors import StageError
from ..model import Pin
from ..stage import StageContext
from .distribution import Repository
from .images import Layout

if TYPE_CHECKING:
    from filelock import FileLock

#: Part of every fingerprint; changed when the same inputs would give another image than before.
_GENERATION = 1


def fingerprint(*inputs: object) -> str:
    """A hash of everything that a build depends on: JSON-able values, in this order."""
    text = json.dumps([_GENERATION, *inputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_kept(key: str) -> bool:
    """Whether what has this fingerprint is there in full, so that ``pinned`` has nothing to build."""
    layouts = [Layout(index.parent) for index in _folder(key).rglob("index.json")]
    return bool(layouts) and all(layout.intact() for layout in layouts)


def pinned(
    stage: StageContext,
    registry: str,
    key: str,
    images: Mapping[str, str],
    tag: str,
    make: Callable[[Path], None],
) -> tuple[tuple[Pin, ...], bool]:
    """Make images, or find them made; push them; return their pins, and whether they were there.

    :param key: the fingerprint.
    :param images: repository path in the registry, by the pin's name.
    :param make: is given an empty folder, and writes each image's layout to its repository path below it.
    :raises StageError: ``make`` failed, the registry does not take the images, or the disk is full.
    """
    folder = _folder(key)
    with alone(stage, key, "another build of the same"):
        found = is_kept(key)
        if not found:
            # Whoever held the lock before is done or dead: what lies about here is nobody's.
            partial = folder.with_name(f"{folder.name}.partial")
            for leftover in (partial, folder):
                shutil.rmtree(leftover, ignore_errors=True)
            partial.mkdir(parents=True)
            try:
                make(partial)
                partial.rename(folder)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise StageError(f"no space left in {folder.parent}", remedy="free some disk space") from error
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        pins = []
        for name, path in images.items():
            repository = Repository(registry, path)
            stage.progress(f"pushing {path}")
            digest = repository.push(Layout(folder / path), tag)
            stage.write(f"{repository}:{tag} {digest}")
            pins.append(Pin(name=name, image=str(repository), tag=tag, digest=digest))
    return tuple(pins), found


@contextmanager
def alone(stage: StageContext, name: str, other: str) -> Iterator[None]:
    """Hold a lock over all runs of this user, waiting for it until the stage's deadline."""
    from filelock import FileLock  # late: it imports asyncio, and plugins that declare projects import this module

    path = paths.cache("builds", f"{name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    if not _acquired(lock):
        stage.wait_until(lambda: _acquired(lock), f"{other} to finish")
    try:
        yield
    finally:
        lock.release()


def _acquired(lock: FileLock) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


def _folder(key: str) -> Path:
    return paths.cache("builds", key)
