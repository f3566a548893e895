"""Downloads files whose checksums are pinned, from their official place or a mirror of it."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import StageError
from ..stage import StageContext

#: Seconds to decide that the official sites cannot be reached. One that is slower than this is no gain.
PROBE_TIMEOUT = 3.0
_TRIES = 3
_CHUNK = 1 << 20

_reachable: dict[str, bool] = {}


class Unavailable(Exception):
    """The file cannot be had from there: no network, not found, or broken off every time."""


def location(url: str) -> str:
    """Where ``url`` is fetched from: itself, or ``$CROSSCLOUD_MIRROR/<host>/<path>``."""
    mirror = os.environ.get("CROSSCLOUD_MIRROR", "").rstrip("/")
    if not mirror:
        return url
    parts = urlsplit(url)
    return f"{mirror}/{parts.netloc}{parts.path}"


def fetch(stage: StageContext, url: str, checksum: str, target: Path, label: str) -> None:
    """Download ``url`` (or its mirror) to ``target``.

    :param checksum: ``sha256:…`` or ``sha512:…`` of the file.
    :raises Unavailable: it cannot be had; the text says why.
    :raises StageError: what came is not what was pinned. Nothing is left at ``target``.
    """
    source = location(url)
    _probe(source)
    for attempt in range(1, _TRIES + 1):
        stage.progress(f"{label}: downloading {source}")
        try:
            digest = _download(stage, source, checksum.split(":", 1)[0], target, label)
            break
        except (OSError, http.client.HTTPException) as error:
            target.unlink(missing_ok=True)
            if attempt == _TRIES or isinstance(error, urllib.error.HTTPError):
                raise Unavailable(f"{source}: {error}") from error
    if digest != checksum:
        target.unlink()
        raise StageError(
            f"{label}: {source} is not the file that was pinned\n  pinned {checksum}\n  got    {digest}",
            remedy="nothing was installed; find out who changed the file before you change the pin",
        )


def _probe(url: str) -> None:
    """Ask once per process whether a site answers; one that does not speaks for all the others."""
    site = urlsplit(url).netloc
    if not all(_reachable.values()):
        raise Unavailable(f"{site}: no way to the official release sites")
    if site in _reachable:
        return
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_TIMEOUT).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code not in (405, 501):  # it answers, only not to this method
            raise Unavailable(f"{url}: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        _reachable[site] = False
        raise Unavailable(f"{site}: {error}") from error
    _reachable[site] = True


def _download(stage: StageContext, url: str, algorithm: str, target: Path, label: str) -> str:
    digest = hashlib.new(algorithm)
    with urllib.request.urlopen(url, timeout=30) as response, target.open("wb") as file:  # noqa: S310
        total = int(response.headers.get("Content-Length") or 0)
        done = 0
        while chunk := response.read1(_CHUNK):  # read would wait for a whole chunk, however slowly it comes
            stage.remaining()
            digest.update(chunk)
            file.write(chunk)
            done += len(chunk)
            stage.progress(f"{label}: downloading {done >> 20} of {total >> 20} MB")
        if done < total:
            raise http.client.IncompleteRead(b"", total - done)
    return f"{algorithm}:{digest.hexdigest()}"
