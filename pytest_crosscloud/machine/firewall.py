"""What a network needs of this host's packet filter: reaching out, and not being cut off by a strict default.

Every rule carries the network's label as its comment, by which it is found again.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from ..errors import CrosscloudError
from . import records
from .records import Network

#: Seconds for one call of iptables.
_TIMEOUT = 20

_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


def open_up(network: Network) -> None:
    """Let machines of the network reach this host, each other, and (masqueraded) the outside.

    Rules that are there already are left alone.
    """
    if rules(network.run, network.name):
        return
    mark = f'-m comment --comment "{records.label(network.run, network.name)}"'
    # FORWARD also sees frames between two machines, where br_netfilter is on.
    _restore(
        "*filter",
        f"-I INPUT -i {network.bridge} {mark} -j ACCEPT",
        f"-I FORWARD -i {network.bridge} {mark} -j ACCEPT",
        f"-I FORWARD -o {network.bridge} -m conntrack --ctstate RELATED,ESTABLISHED {mark} -j ACCEPT",
        "COMMIT",
        "*nat",
        f"-A POSTROUTING -s {network.cidr} ! -d 198.18.0.0/15 {mark} -j MASQUERADE",
        "COMMIT",
    )


def close(run: str, name: str = "") -> None:
    """Remove the rules of a network, or of all of a run's."""
    found = rules(run, name)
    if found:
        _restore(*(line for table, rule in found for line in (f"*{table}", "-D" + rule[2:], "COMMIT")))


def rules(run: str, name: str = "") -> list[tuple[str, str]]:
    """Table and text of each rule of a network, or of all of a run's."""
    # iptables-save puts quotes only where it must.
    mark = re.compile(f'--comment "?{re.escape(records.label(run, name))}' + (r"[\s\"]" if name else ""))
    found, table = [], ""
    for line in _run(["iptables-save"]).splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A") and mark.search(line):
            found.append((table, line))
    return found


def forward() -> None:
    """Let this host pass packets on between its interfaces."""
    value = _FORWARD.read_text()
    if value.strip() != "1":
        _before().write_text(value)
        _FORWARD.write_text("1")


def restore_forwarding() -> None:
    """Put this host's forwarding back to what it was before the first network; to be called after the last."""
    before = _before()
    if before.exists():
        _FORWARD.write_text(before.read_text())
        before.unlink()


def _before() -> Path:
    return records.DIRECTORY / "ip_forward"


def _restore(*lines: str) -> None:
    _run(["iptables-restore", "--noflush", "--wait=10"], "\n".join(lines) + "\n")


def _run(argv: list[str], text: str = "") -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    if done.returncode != 0:
        remedy = "as root, crosscloud plan --clouds=local says what this computer lacks"
        raise CrosscloudError(f"{argv[0]}: {done.stderr.strip()}", remedy=remedy)
    return done.stdout
