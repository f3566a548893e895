"""An apt that knows the packages that a test makes, with the real dpkg-deb."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

# $0 lies in the folder that has what apt knows: `chosen` as it prints it, and the packages.
_APT_GET = """#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/asked"
case " $* " in
  *" --simulate "*) if [ -e "$here/unknown" ]; then cat "$here/unknown" >&2; exit 100; fi; cat "$here/chosen" ;;
  *" download "*) if [ -e "$here/gone" ]; then cat "$here/gone" >&2; exit 100; fi; cp "$here"/*.deb . ;;
esac
"""
_APT_CACHE = '#!/bin/sh\n[ ! -e "$(dirname "$0")/no-lists" ]\n'


class DebianPackages:
    """The folder has to be the first one of PATH."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        for name, script in (("apt-get", _APT_GET), ("apt-cache", _APT_CACHE)):
            (directory / name).write_text(script)
            (directory / name).chmod(0o755)

    @property
    def asked(self) -> list[str]:
        """How apt-get was called."""
        return (self.directory / "asked").read_text().splitlines()

    def add(self, name: str, version: str, files: Mapping[str, bytes | Path]) -> None:
        """A package with these files; a Path is a symbolic link. An earlier version of it is gone."""
        root = self.directory / "root"
        for path, content in files.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                target.symlink_to(content)
            else:
                target.write_bytes(content)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: test\nDescription: test\n"
        (root / "DEBIAN").mkdir(parents=True)
        (root / "DEBIAN" / "control").write_text(control)
        for earlier in self.directory.glob(f"{name}_*.deb"):
            earlier.unlink()
        command = ["dpkg-deb", "--build", "--root-owner-group", str(root), str(self.directory)]
        subprocess.run(command, check=True, capture_output=True)
        subprocess.run(["rm", "-r", str(root)], check=True)
        chosen = self.directory / "chosen"
        known = chosen.read_text().splitlines() if chosen.exists() else []
        known = [line for line in known if not line.startswith(f"Inst {name} ")]
        known.insert(0, f"Inst {name} ({version} Debian:12.12/oldstable [amd64]) []")
        chosen.write_text("\n".join(["Reading package lists...", *known, f"Conf {name} ({version} …)"]) + "\n")

    def say(self, file: str, text: str) -> None:
        """Refuse: ``unknown`` what is to be chosen, ``gone`` what is to be fetched, ``no-lists`` anything."""
        (self.directory / file).write_text(text)
