"""The few system calls that machines need and Python 3.11 does not offer, through libc; and reads of /proc."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SHARED = 0x100000
MNT_DETACH = 0x2

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """:raises OSError: not permitted, or the kernel lacks such a namespace."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str | Path, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """:raises OSError: names source and target."""
    result = _libc.mount(
        source.encode(), os.fsencode(target), fstype.encode() or None, ctypes.c_ulong(flags), data.encode() or None
    )
    _check(result, f"mount {fstype or source} on {target}")


def bind(source: str | Path, target: str | Path, *, read_only: bool = False) -> None:
    """Show ``source`` at ``target``. Read-only takes a second call: the first one ignores the flag."""
    mount(str(source), target, flags=MS_BIND)
    if read_only:
        mount("", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def pivot_root(new_root: str | Path) -> None:
    """Make the mount point ``new_root`` the root of this mount namespace and let go of the old root."""
    os.chdir(new_root)
    # Both arguments the same: the old root ends up mounted over the new one, and needs no directory (pivot_root(2)).
    _check(_libc.pivot_root(b".", b"."), f"pivot_root to {new_root}")
    _check(_libc.umount2(b".", MNT_DETACH), "detach the old root")
    os.chdir("/")


def has_capability(number: int) -> bool:
    """Whether this process's effective set has it (numbers: capability.h)."""
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    return bool(int(effective, 16) >> number & 1)


def start_time(pid: int) -> int:
    """When the process started, in ticks since boot; 0 if it is gone or a zombie. Tells a reused pid apart."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
