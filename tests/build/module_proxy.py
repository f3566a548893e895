"""A Go module proxy made of files (https://go.dev/ref/mod#goproxy-protocol)."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path


class ModuleProxy:
    """What ``GOPROXY=file://<directory>`` serves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def add(self, module: str, version: str, files: Mapping[str, str]) -> None:
        folder = self.directory / module / "@v"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "list").open("a") as listed:
            listed.write(f"{version}\n")
        (folder / f"{version}.info").write_text(f'{{"Version": "{version}", "Time": "2026-01-01T00:00:00Z"}}')
        (folder / f"{version}.mod").write_text(files["go.mod"])
        with zipfile.ZipFile(folder / f"{version}.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(f"{module}@{version}/{name}", content)
