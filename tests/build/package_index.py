"""A package index made of files (https://packaging.python.org/en/latest/specifications/simple-repository-api/)."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class PackageIndex:
    """What pip asks when PIP_INDEX_URL is ``url``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(directory)))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def add(self, name: str, version: str, files: Mapping[str, bytes], *, checksum: str = "") -> str:
        """Serve a wheel with these files; its SHA-256, which the index tells unless ``checksum`` is another."""
        folder = self.directory / name
        folder.mkdir(exist_ok=True)
        stem = f"{name.replace('-', '_')}-{version}"
        wheel = folder / f"{stem}-py3-none-any.whl"
        described = {
            f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
            f"{stem}.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            **files,
        }
        record = "".join(f"{path},,\n" for path in [*described, f"{stem}.dist-info/RECORD"])
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, content in {**described, f"{stem}.dist-info/RECORD": record.encode()}.items():
                archive.writestr(path, content)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        with (folder / "index.html").open("a") as page:
            page.write(f'<a href="{wheel.name}#sha256={checksum or digest}">{wheel.name}</a><br>\n')
        return digest

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
