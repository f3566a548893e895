"""kubetest2 as a peer: the real one, compiled with a deployer for the simulated clouds, and what signals do to it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_crosscloud import paths
from pytest_crosscloud.toolchain.cached import made
from pytest_crosscloud.toolchain.gobuild import go, go_build
from pytest_crosscloud.toolchain.pins import host_arch

from ..measure import Bench
from ..simulated import ledger, rootdir
from ..simulated.behaviour import Behaviour
from ..simulated.client import Client
from ..simulated.processes import carrying, command

#: It has no releases: what the module proxy serves.
VERSION = "v0.0.0-20231014151303-89f09b65e8dd"

_MODULE = "sigs.k8s.io/kubetest2"
_MAIN = Path(__file__).with_name("main.go")

#: Its own tester, and a deployer of ours. It is started by itself, as kubetest2 starts it: a signal meets what works.
_PROGRAMS = {"kubetest2-tester-exec": "./kubetest2-tester-exec", "kubetest2-simulated": "./simulated"}

#: Seconds for its compilation.
_DEADLINE = 1800.0

#: Seconds after which what is still there counts as left.
LEFT = 5.0

#: How its cluster behaves, so that each of its steps takes a while.
_BEHAVIOUR = {"sim0": Behaviour(create=0.5, destroy=0.5)}

#: In the environment of all that belongs to one of its runs.
_MARK = "BENCH_KUBETEST2"


@dataclass(frozen=True)
class Killed:
    """What so many SIGKILLs left."""

    kills: int
    clusters: int
    processes: int


class Kubetest2:
    """A directory to run it in, and a simulated cloud."""

    def __init__(self, bench: Bench, client: Client) -> None:
        stage = bench.stage("kubetest2", _DEADLINE)
        with bench.item() as item:
            stage.on_progress = item.progress
            self._programs = _compiled(stage.directory, bench)
            item.end("done", f"kubetest2 {VERSION}")
        self._directory = bench.directory
        self._client = client

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start it: build, up, test and down, each of which takes a while; all it starts carries ``mark(name)``."""
        cluster = [sys.executable, "-m", "benchmarks.simulated.client", self._client.address]
        steps = {
            "build": "sleep 1",
            "up": shlex.join([*cluster, "create", "sim0", name]),
            "down": shlex.join([*cluster, "delete", "sim0", name]),
        }
        options = [word for step, command in steps.items() for word in (f"--{step}", f"--{step}-command", command)]
        options += ["--artifacts", str(self.artifacts(name)), "--rundir", str(self.artifacts(name) / "run")]
        self.artifacts(name).mkdir(parents=True)
        with (self._directory / f"kubetest2-{name}.log").open("wb") as log:
            return subprocess.Popen(
                [self._programs / "kubetest2-simulated", *options, "--test", "exec", "--", "sleep", "60"],
                cwd=paths.data(),
                env={**os.environ, "PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}", _MARK: name},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def artifacts(self, name: str) -> Path:
        return self._directory / "artifacts" / name

    def junit(self, name: str) -> Path:
        return self.artifacts(name) / "junit_runner.xml"

    def processes(self, name: str) -> list[int]:
        return list(carrying({f"{_MARK}={name}".encode()}))

    def end_tester(self, name: str) -> bool:
        """End its test at once; False: it does not run yet."""
        testers = [pid for pid in self.processes(name) if command(pid).startswith("sleep 60")]
        for pid in testers:
            os.kill(pid, signal.SIGKILL)
        return bool(testers)

    def left(self, name: str) -> list[str]:
        """What of it is still there, which is ended now."""
        found = [(pid, command(pid)) for pid in self.processes(name)]
        for pid, _ in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return [f"{pid} {text}" for pid, text in found]


@contextmanager
def kubetest2(bench: Bench) -> Iterator[Kubetest2]:
    """It, with a simulated cloud of its own."""
    with rootdir.serve(bench.directory / "kubetest2-ledger", _BEHAVIOUR) as client:
        yield Kubetest2(bench, client)


def killed(bench: Bench, kills: int, seed: int = 0) -> Killed:
    """What ``kills`` SIGKILLs at random moments leave, five seconds later."""
    source = random.Random(seed)  # noqa: S311
    with kubetest2(bench) as peer, bench.item() as item:
        processes = 0
        for number in range(kills):
            item.progress(f"kubetest2: kill {number + 1} of {kills}")
            with peer.start(f"kill-{number}") as process:
                time.sleep(source.uniform(0.0, 4.0))
                process.kill()
        time.sleep(LEFT)
        processes = sum(bool(peer.left(f"kill-{number}")) for number in range(kills))
        lives = ledger.lives(bench.directory / "kubetest2-ledger").values()
        clusters = sum(life.gone is None for life in lives)
        item.end("done", f"kubetest2: {kills} kills left {clusters} clusters, and processes {processes} times")
    return Killed(kills, clusters, processes)


def _compiled(directory: Path, bench: Bench) -> Path:
    """The directory of its programs, compiled into the cache if they are not there."""
    stage = bench.stage("kubetest2", _DEADLINE)
    key = hashlib.sha256(_MAIN.read_bytes() + repr(_PROGRAMS).encode()).hexdigest()[:16]

    def make(into: Path) -> None:
        downloaded = go(stage, directory, "mod", "download", "-json", f"{_MODULE}@{VERSION}")
        source = into / "source"
        shutil.copytree(json.loads(downloaded.output)["Dir"], source, copy_function=shutil.copyfile)
        for folder in (source, *(path for path in source.rglob("*") if path.is_dir())):
            folder.chmod(0o755)  # as they are in Go's cache, nothing can be added to them
        (source / "simulated").mkdir()
        shutil.copyfile(_MAIN, source / "simulated" / "main.go")
        for name, package in _PROGRAMS.items():
            go_build(stage, source, package, into / name, arch=host_arch(), label=name)
        shutil.rmtree(source)

    return made(stage, "tools", f"kubetest2-{VERSION}-{key}", "kubetest2", make)
