"""Keeps what was built: an unchanged input is not built again.

Under the cache directory there is one folder per fingerprint, with an OCI image layout per image; from it images are
pushed to whichever registry lacks them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from .. import paths
from ..errors import StageError
from ..lock import held
from ..model import Pin
from ..stage import StageContext
from ..toolchain.cached import made
from .distribution import Repository
from .images import Layout

#: Part of every fingerprint; changed when the same inputs would give another image than before.
_GENERATION = 1

_KIND = "builds"


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
    """Make images, or find them made; push them; return their pins, and whether nothing had to be made.

    :param key: the fingerprint.
    :param images: repository path in the registry, by the pin's name.
    :param make: is given an empty folder, and writes each image's layout to its repository path below it.
    :raises StageError: ``make`` failed, the registry does not take the images, or the disk is full.
    """
    folder = _folder(key)
    kept = is_kept(key)
    if not kept:
        _drop_damaged(stage, key)
        try:
            made(stage, _KIND, key, ", ".join(images.values()), make)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StageError(f"no space left in {folder.parent}", remedy="free some disk space") from error
    pins = []
    for name, path in images.items():
        repository = Repository.at(registry, path)
        digest = repository.push(Layout(folder / path), tag, stage)
        stage.write(f"{repository}:{tag} {digest}")
        pins.append(Pin(name=name, image=str(repository), tag=tag, digest=digest))
    return tuple(pins), kept


def _drop_damaged(stage: StageContext, key: str) -> None:
    """Remove a folder that lost a file; one that another process has just made again is whole, and stays."""
    folder = _folder(key)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with held(folder.with_name("damaged.lock"), stage, "another process, which is looking for damaged images"):
        # In this order: a folder appears complete, by a rename.
        if folder.exists() and not is_kept(key):
            shutil.rmtree(folder)


def _folder(key: str) -> Path:
    return paths.cache(_KIND, key)
