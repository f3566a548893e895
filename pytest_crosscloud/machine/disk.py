"""A machine's disk: a directory on a real file system with what cannot live on the overlay of its root.

containerd's snapshots are overlays themselves, and the kernel refuses an overlay on an overlay.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from .. import paths
from .clone import clone

#: Directories of a machine that lie on its disk, at the same path below it.
SERVED = ("var/lib/containerd", "var/lib/kubelet", "var/lib/etcd", "var/lib/cni", "etc/kubernetes", "etc/cni/net.d")

#: The machine's journal: kept on the disk so that it can be read from outside, and after its end.
JOURNAL = "journal"

#: Holds the run's id, so that a disk tells whose it is even when its record is lost.
_OWNER = "run"


def home(name: str) -> Path:
    return paths.state("machines", name)


def create(name: str, run: str, source: Path | None) -> Path:
    """Make the disk of a machine, empty or as a clone of ``source``, and return it."""
    directory = home(name)
    directory.mkdir(parents=True, mode=0o700)
    (directory / _OWNER).write_text(run)
    disk = directory / "disk"
    if source:
        clone(source, disk)
    for path in (*SERVED, JOURNAL):
        (disk / path).mkdir(parents=True, exist_ok=True)
    return disk


def remove(disk: Path, *, keep: bool = False) -> None:
    """Remove the disk; or keep it, without its journal, as nobody's: no run owns it any more."""
    directory = disk.parent
    if keep:
        (directory / _OWNER).unlink(missing_ok=True)
        shutil.rmtree(disk / JOURNAL, ignore_errors=True)
    elif directory.exists():
        shutil.rmtree(directory)


def owned(run: str) -> list[Path]:
    """The disks that belong to the run."""
    return sorted(owner.parent / "disk" for owner in paths.state("machines").glob(f"*/{_OWNER}") if _reads(owner, run))


def _reads(owner: Path, run: str) -> bool:
    try:
        return owner.read_text() == run
    except FileNotFoundError:  # removed since it was listed
        return False
