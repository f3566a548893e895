"""The computer that is measured: a figure means nothing without it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """Facts about this computer, now."""

    cores: int  #: that this process may use
    memory: float  #: GiB
    kernel: str
    system: str  #: the distribution, as it calls itself
    load: float  #: average over the last minute: above 0 means that something else was measured with it

    def __str__(self) -> str:
        return (
            f"{self.cores} cores, {self.memory:.0f} GiB, Linux {self.kernel}, {self.system}, "
            f"load average {self.load:.1f}"
        )


def facts() -> Host:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Host(
        cores=len(os.sched_getaffinity(0)),
        memory=round(memory, 1),
        kernel=platform.release(),
        system=platform.freedesktop_os_release()["PRETTY_NAME"],
        load=round(os.getloadavg()[0], 2),
    )
