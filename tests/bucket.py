"""An S3 bucket for tests: moto's server in a process of its own, from packages that are installed apart."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from filelock import FileLock

#: What must be in no text that a program shows.
SECRET = "wJalrXUtnFEMI-not-a-real-secret"

BUCKET = "crosscloud-tests"

_LOCK = Path(__file__).with_name("moto.lock")


@contextmanager
def server(directory: Path, environment: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """Start it, with an empty bucket; its URL. ``directory``: for its log; ``environment``: what moto is told by it."""
    packages = _packages()
    with (directory / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"],
            env={**os.environ, **environment, "PYTHONPATH": str(packages), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        url = _url(process, directory / "moto.log")
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT"), timeout=30).close()
        yield url
    finally:
        process.kill()
        process.wait()


def environment(url: str) -> dict[str, str]:
    """What a program of AWS needs to use the server."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, as it says itself."""
    limit = time.monotonic() + 60
    while time.monotonic() < limit and process.poll() is None:
        for word in log.read_text().split():
            if word.startswith("http://127.0.0.1:"):
                return word
        time.sleep(0.05)
    raise AssertionError(f"moto's server did not start: {log.read_text()}")


def _packages() -> Path:
    """Where moto is: in a folder of this environment, made once."""
    target = Path(sys.prefix) / "moto" / hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]
    target.parent.mkdir(exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.exists():
            partial = target.with_name("partial")
            shutil.rmtree(partial, ignore_errors=True)
            pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps")
            subprocess.run([*pip, "--require-hashes", "--requirement", _LOCK, "--target", partial], check=True)
            partial.rename(target)
    return target
