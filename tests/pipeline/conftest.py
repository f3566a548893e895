"""A rootdir with a cloud and projects whose stages are a line in a ledger: the engine and pytest are what is tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_crosscloud import paths

#: One stage of the stand-ins: notes its start and end in the ledger, and does what a file of its name says.
_PLUGIN = '''
import dataclasses, os, pathlib, socket, time
from pytest_crosscloud import hookimpl
from pytest_crosscloud.errors import OutOfReach, StageError
from pytest_crosscloud.model import (
    E2E, Artifacts, Cloud, Cluster, E2EResult, ErrorClass, Node, Pin, Project, Ref, Release, TestCounts,
    Upgraded)

HERE = pathlib.Path({root!r})
OLD = "sha256:" + "0" * 64
DIGESTS = dict.fromkeys(("head", "v1.3"), "sha256:" + "1" * 64)

def note(text):
    with (HERE / "ledger").open("a") as ledger:
        ledger.write(text + "\\n")

def stage(context, what):
    """Do the stage: the file <what> in the rootdir says how it goes."""
    note(f"start {{what}}")
    how = HERE / what.replace(" ", "-")
    text = how.read_text() if how.exists() else ""
    context.write(f"this is the log of {{what}}")
    if text == "fail":
        note(f"fail {{what}}")
        raise StageError(f"{{what}} went wrong", remedy="mend it", error_class=ErrorClass.PRODUCT)
    if text == "out of reach":
        raise OutOfReach("registry unreachable: far.test: no route", remedy="check the network", is_final=True)
    times = (HERE / "ledger").read_text().splitlines().count(f"start {{what}}")
    if text.startswith("quota") and times <= int(text.split()[1]):  # so many times
        (context.directory / "evidence").mkdir()
        raise StageError(f"quota exceeded for the {{times}}. time")
    if text == "die once" and times == 1:
        os.kill(os.getpid(), 9)
    if text == "raise":
        raise ValueError("a defect")
    if text == "die":
        os.kill(os.getpid(), 9)
    if text == "steal":  # as another host would, which took this one for dead
        from pytest_crosscloud.run.store import open_store
        leases = open_store().leases()
        held = leases.holder("cluster/xc-" + context.run + "-here")
        leases.release(held)
        leases.acquire(held.name, "run/another", 3600)
        context.command(["sleep", "600"])
    if text == "late":
        context.wait_until(lambda: False, "the moon")
    if text == "late command":
        context.progress("asking the oracle")
        context.command(["sh", "-c", "echo thinking; sleep 600"])
    if text == "block":
        context.progress("asking the oracle")
        time.sleep(600)
    if text == "read":
        context.progress("asking the oracle")
        here, there = socket.socketpair()
        here.recv(1)
    if text == "hang":
        note(f"hang {{what}}")
        context.command(["sleep", "600"])
    if text == "fill":  # the disk that the reports are on
        with (context.directory / "filling").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**16))
    if text == "meet":  # until another stage has started, too
        context.wait_until(lambda: (HERE / "ledger").read_text().count("start") > 1, "another stage", interval=0.01)
    note(f"end {{what}}")

@dataclasses.dataclass(frozen=True)
class Build:
    def resolve(self, project, ref):
        if project.is_kubernetes:
            raise AssertionError("the configuration knows")
        if ref == "defect":
            raise ValueError("a defect of the plugin")
        if ref == "nonsense":
            raise StageError(f"{{project.name}} has no ref {{ref!r}}", error_class=ErrorClass.CONFIGURATION)
        if (HERE / f"resolve-{{project.name}}").exists():
            raise OutOfReach("registry unreachable: far.test: no route", remedy="check the network", is_final=True)
        return Ref(ref, {{"stable": "v1.0.0", "head": "v1.1.0-rc1"}}.get(ref, ref))
    def fingerprint(self, project, ref, arch):
        return f"{{project.name}}-{{ref.version}}-{{arch}}"
    def build(self, request):
        stage(request.stage, f"build {{request.project.name}}-{{request.ref.name}}")
        pin = Pin("DEMO", f"{{request.registry}}/demo", request.ref.version, DIGESTS.get(request.ref.name, OLD))
        return Artifacts(request.project.name, request.ref, request.arch, (pin,))

@dataclasses.dataclass(frozen=True, kw_only=True)
class Stand(Cloud):
    def preflight(self):
        if (HERE / "preflight").exists():
            raise ValueError("a defect of the cloud")
        return []
    def capacity(self, clusters):
        limit = HERE / "capacity"
        room = int(limit.read_text()) if limit.exists() else 99
        return [f"machines: {{clusters}} needed, {{room}} left"] if clusters > room else []
    def answers(self, cluster):
        silent = HERE / "silent"
        return not (silent.exists() and silent.read_text() == cluster.name)
    def console(self, request, target):
        if (HERE / "console").exists():
            raise ValueError("no console")
        (target / "console.txt").write_text("the console")
    @property
    def takes_node_bundle(self):
        return self.name == "here"
    def provision(self, request):
        stage(request.stage, f"provision {{self.name}}")
        kubeconfig = request.directory / "kubeconfig"
        kubeconfig.touch(mode=0o600)
        node = Node("n1", "192.0.2.1", "control-plane")
        return Cluster(request.name, self.name, request.kubernetes, request.arch, str(kubeconfig), nodes=(node,))
    def destroy(self, request):
        note(f"destroy {{self.name}}")

@hookimpl
def crosscloud_recycle(request, cluster):
    note(f"recycle {{cluster.cloud}}")
    if (HERE / "recycle").exists():
        raise StageError("it is dirty")
    return True

@hookimpl
def crosscloud_clouds():
    return [Stand(name=name, arch=("amd64", "arm64")) for name in ("here", "there")]

@hookimpl
def crosscloud_projects():
    made = [Project(name=name, build=Build(), chart="x", chosen_by=("SPECS",)) for name in ("demo", "other")]
    return [*made, Project(name="orchestra", build=Build(), chart="x", is_kubernetes=True, active=False)]

def label(request):
    return f"{{request.project.name}}-{{request.artifacts.ref.name}}-{{request.cluster.cloud}}"

@hookimpl
def crosscloud_deploy(request):
    if request.project.name in ("demo", "other", "orchestra"):
        stage(request.stage, f"deploy {{label(request)}}")
        return Release(request.release, request.namespace, "x-1", 1)

@hookimpl
def crosscloud_upgrade(request):
    if request.project.name in ("demo", "other"):
        what = f"upgrade {{request.replaces.name}} to {{request.artifacts.ref.name}}"
        stage(request.stage, what)
        return Upgraded(dataclasses.replace(request.replaces, revision=request.replaces.revision + 1), "always there")

@hookimpl
def crosscloud_e2e(request):
    if where := request.env.get("CROSSCLOUD_UPGRADE"):
        stage(request.stage, f"e2e {{label(request)}} {{where}}")
        red = (HERE / f"e2e-{{label(request)}}-{{where}}-red").exists()
        return E2EResult(int(red), TestCounts(8 - red, int(red)), ("data: gone",) if red else ())
    if request.project.name in ("demo", "other", "orchestra"):
        stage(request.stage, f"e2e {{label(request)}}")
        path = HERE / f"e2e-{{label(request)}}-red"
        times = (HERE / "ledger").read_text().splitlines().count(f"start e2e {{label(request)}}")
        red = path.exists() and times <= int(path.read_text() or 99)
        return E2EResult(int(red), TestCounts(8 - red, int(red)), ("reverse lookup: timed out",) if red else ())

@hookimpl
def crosscloud_stage_started(run, result):
    note(f"hook started {{result.key}}")

@hookimpl
def crosscloud_stage_finished(run, result):
    note(f"hook {{result.status}} {{result.key}}")

@hookimpl
def crosscloud_run_finished(summary):
    note(f"hook run {{len(summary.cells)}} cells")
'''


class Rootdir:
    """A rootdir with the stand-ins. ``make(stage, how)`` says how a stage goes; ``ledger()`` what happened."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path

    def make(self, stage: str, how: str) -> None:
        (self.path / stage.replace(" ", "-")).write_text(how)

    def configure(self, text: str) -> None:
        (self.path / "cross-cloud.yml").write_text(text)

    def run(self, *arguments: str, registry: str = "registry.test") -> pytest.RunResult:
        """pytest in a process of its own; the registry is one that is given, so that none is started."""
        return self.pytester.runpytest_subprocess(f"--registry={registry}", *arguments, timeout=120)

    def ledger(self, start: str = "") -> list[str]:
        path = self.path / "ledger"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(start)]

    @property
    def last_run(self) -> str:
        """Id of the run that began last."""
        return max(paths.state("runs").iterdir(), key=lambda path: path.stat().st_ctime).name

    @property
    def out(self) -> Path:
        return self.path / "reports" / "out"


@pytest.fixture
def rootdir(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rootdir:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pytester.makeini("[pytest]\n")
    (pytester.path / "clouds").mkdir()
    (pytester.path / "clouds" / "stand.py").write_text(_PLUGIN.format(root=str(pytester.path)))
    return Rootdir(pytester)
