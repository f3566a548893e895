"""What this computer has before a run and after it: asked of the kernel and of files, so that the product's own search
(`machine.leftovers`, the store) is not believed. What both its destroyer and that search overlook is seen here.

Other runs go on meanwhile, here and in other checkouts. What names a run is that run's. What names none, and is such
as the product makes (its addresses, its interfaces, anything called after it), is nobody's: that may be because it is
just being made, so it counts as left once it stays.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

#: Seconds until what is nobody's must be somebody's or gone, and the run's reaper have ended, after its last report.
PATIENCE = 60.0

#: What the product makes looks like: RFC 2544's addresses, a bridge, a machine's end of a veth, its own name.
_OURS = re.compile(r"\b198\.1[89]\.|\bccv?[0-9a-f]{9}\b|crosscloud")

#: Names some run: labels of interfaces and rules, control groups; names of clusters and of their machines; records.
_NAMED = re.compile(r"crosscloud:\w+:|^cgroup .*/crosscloud/\w+/|\bxc-\w+|^(record|disk) ")


class Computer:
    """What is there now, to be compared with what is there after a run."""

    def __init__(self) -> None:
        self._before = frozenset(_things())

    def left(self, run: str, *, patience: float = PATIENCE) -> list[str]:
        """What there is more than before, and is the run's or nobody's; a line each, which begins with its kind."""
        of_run = _names(run)
        found = [thing for thing in self._new() if of_run(thing)]
        found += [*_processes(run), *_leases(of_run)]
        limit = time.monotonic() + patience
        while not found and (rest := [*self._nobodys(), *_processes(run, reaper=True)]):
            if time.monotonic() > limit:
                return rest
            time.sleep(0.1)
        return found

    def _new(self) -> list[str]:
        return sorted(set(_things()) - self._before)

    def _nobodys(self) -> list[str]:
        rest = [thing for thing in self._new() if _OURS.search(thing) and not _NAMED.search(thing)]
        return [thing for thing in rest if not _is_listened_at(thing)]


def _names(run: str) -> Callable[[str], bool]:
    """Whether a text names the run; on ``lo`` it stands as a hash, for a label there is short."""
    mark = hashlib.sha256(run.encode()).hexdigest()[:12]
    pattern = re.compile(rf"(?<![0-9A-Za-z])({re.escape(run)}|{mark})(?![0-9A-Za-z])")
    return lambda text: bool(pattern.search(text))


def _things() -> Iterator[str]:
    yield from _interfaces()
    yield from _addresses()
    yield from _rules()
    yield from _mounts()
    yield from (f"network namespace {path.name}" for path in Path("/run/netns").glob("*"))
    yield from (f"record {path} {_text(path)}" for path in Path("/run/crosscloud").rglob("*.json"))
    yield from (f"disk {path}" for path in _state().glob("machines/*"))


def _interfaces() -> Iterator[str]:
    for link in json.loads(_output("ip", "-json", "link")):
        yield f"interface {link['ifname']} {link.get('ifalias', '')}"


def _addresses() -> Iterator[str]:
    for link in json.loads(_output("ip", "-json", "address", "show", "dev", "lo")):
        for address in link["addr_info"]:
            yield f"address {address['local']} {address.get('label', '')}"


def _is_listened_at(thing: str) -> bool:
    """An address at which somebody listens is that process's, and goes with it."""
    listening = {line.split()[3].rpartition(":")[0] for line in _output("ss", "-Hltn").splitlines()}
    return thing.startswith("address ") and thing.split()[1] in listening


def _rules() -> Iterator[str]:
    """Rules and chains of the packet filter, without their counters."""
    table = ""
    for line in _output("iptables-save").splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith((":", "-A")):
            yield f"rule of {table} {line.partition(' [')[0]}"


def _mounts() -> Iterator[str]:
    """Mounts; and below those of control groups, the groups that are called after something."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        head, _, tail = line.partition(" - ")
        root, point = head.split()[3:5]
        kind = tail.split()[0]
        yield f"mount {point} {kind} of {root}"
        if kind.startswith("cgroup"):
            for directory, children, _ in os.walk(point):
                # One that only holds others goes with the last of them.
                if not children:
                    yield f"cgroup {directory}"


def _processes(run: str, *, reaper: bool = False) -> list[str]:
    """Those that carry the run in their environment or stand in a control group of it; its reaper only if asked for."""
    of_run = _names(run)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        environ, status = _text(process / "environ").split("\0"), _text(process / "status")
        is_reaper = any(variable.startswith("CROSSCLOUD_REAPER=") for variable in environ)
        if "\nState:\tZ" in status or process.name == str(os.getpid()) or (is_reaper and not reaper):
            continue
        if any(map(of_run, environ)) or of_run(_text(process / "cgroup")):
            found.append(f"process {process.name} {_text(process / 'comm').strip()}")
    return found


def _leases(of_run: Callable[[str], bool]) -> list[str]:
    """Leases in the register of this computer that were not given back, and whose owner may live."""
    path = _state() / "crosscloud-leases.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as register:
        leases = [json.loads(text) for (text,) in register.execute("SELECT text FROM leases")]
    found = []
    for lease in leases:
        pid = re.match(r"(\d+):", lease["owner"])
        lives = not pid or Path("/proc", pid[1]).exists()
        if of_run(f"{lease['name']} {lease['owner']}") and lease["expires"] > time.time() and lives:
            found.append(f"lease {lease['name']} of {lease['owner']}")
    return found


def _state() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "crosscloud"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has gone since it was listed
        return ""


def _output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
