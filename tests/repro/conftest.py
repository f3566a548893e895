"""A cell that failed: its run in a store, its images in a real registry, and what its stages left."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud import config as configuration
from pytest_crosscloud import matrix, paths, plugins
from pytest_crosscloud import redact as redaction
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.images import File, ImageConfig
from pytest_crosscloud.build.images import write as write_image
from pytest_crosscloud.model import (
    Artifacts,
    Cluster,
    E2EResult,
    Failure,
    Node,
    Pin,
    Ref,
    Release,
    StageName,
    StageResult,
    Status,
)
from pytest_crosscloud.repro import bundle, pack
from pytest_crosscloud.run import context
from pytest_crosscloud.run.context import Run, Settings
from pytest_crosscloud.run.plan import Plan
from pytest_crosscloud.run.sqlite import SqliteStore
from pytest_crosscloud.stage import StageContext
from tests.build.conftest import progress as progress
from tests.build.conftest import registry_host as registry_host
from tests.build.conftest import stage as stage
from tests.samples import HEAD, write_clouds

PROJECT = """
from pytest_crosscloud.model import E2E

@hookimpl
def crosscloud_projects():
    env = {"RECORDS": "a=b", "ADMIN_PASSWORD": "e2e-env-secret"}
    values = {"replicas": 2, "version": "1e3", "admin": {"password": "values-secret"},
              "env": [{"name": "MODE", "value": "fast"}, {"name": "APP_TOKEN", "value": "listed-secret"}]}
    e2e = E2E(build=Strategy(), env=env, timeout=42)
    return [Project(name="demo", build=Strategy(), chart="demo", values=values, timeout=77, e2e=e2e)]
"""

#: What a template says is no secret, however much it looks like one.
TEMPLATE = "token: {{.Values.a.long.path.to.the.admin.password}}\nseen: environment-secret\n"

SECRETS = ("environment-secret", "kubeconfig-token-secret", "e2e-env-secret", "values-secret", "listed-secret")


class Failed:
    """One cell ``demo-head-aws`` of a run, whose e2e failed."""

    def __init__(self, root: Path, registry: str, stage: StageContext) -> None:
        self.root, self.out, self._stage = root, root / "reports" / "out", stage
        loaded = plugins.load(root)
        config = configuration.load(None, loaded, root)
        selected = matrix.select(config, clouds="aws", projects="demo", refs="head")
        (self.cell,) = selected.cells
        store = SqliteStore()
        settings = Settings(rootdir=str(root), out=str(self.out), registry=registry)
        refs = {self.cell.build.id: Ref("head", "v1.1.0", "c" * 40)}
        self.run: Run = context.open_run(
            store,
            context.create(store, settings, Plan.of(config, selected), refs, {"stable": Ref("stable", "v1.36.3")}),
            loaded,
            config,
            selected,
        )
        kubeconfig = self.run.directory / "kubeconfig"
        user = {"user": {"token": SECRETS[1]}}
        kubeconfig.write_text(json.dumps({"users": [user]}))
        pins = [self.push(name) for name in ("DEMO", "DEMO_E2E")]
        artifacts = Artifacts("demo", refs[self.cell.build.id], "amd64", (pins[0],), e2e=pins[1])
        node = Node("n", "192.0.2.1", "control-plane")
        cluster = Cluster("xc", "aws", Ref("stable", "v1.36.3"), "amd64", str(kubeconfig), nodes=(node,))
        result = E2EResult(1, None, ("reverse lookup: no PTR record",))
        failure = Failure("product", "1 of 2 checks failed: reverse lookup: no PTR record", "see its log")
        self.results = {
            StageName.BUILD: self._result(StageName.BUILD, self.cell.build.id, artifacts.to_json()),
            StageName.PROVISION: self._result(StageName.PROVISION, self.cell.cluster.id, cluster.to_json()),
            StageName.DEPLOY: self._result(
                StageName.DEPLOY, self.cell.id, Release("demo-head", "ns", "demo-0.2.0", 1).to_json()
            ),
            StageName.E2E: replace(
                self._result(StageName.E2E, self.cell.id, result.to_json()), status=Status.FAILED, failure=failure
            ),
        }

    @staticmethod
    def _result(name: StageName, target: str, data: dict[str, Any]) -> StageResult:
        return StageResult(name, target, Status.SUCCESS, started=1.0, data=data)

    def push(self, name: str, *, size: int = 10) -> Pin:
        """An image in the run's registry."""
        layout = write_image(self.root / name, [File("/a", name.encode() * size)], ImageConfig("amd64", ["/a"]))
        repository = Repository.at(self.run.settings.registry, f"repro/{name.lower()}")
        digest = repository.push(layout, "v1", self._stage)
        shutil.rmtree(layout.directory)
        return Pin(name, str(repository), "v1", digest)

    def leave(self, name: str, content: str | bytes) -> None:
        """A file that a stage left below reports/out."""
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def pack(self) -> bundle.Bundle:
        path = pack.pack(self.run, self.cell, self.results, "demo-head")
        assert path, (self.out / "cells" / self.cell.id / "bundle.log").read_text()
        return bundle.read(path)


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setenv("REPRO_TEST_TOKEN", SECRETS[0])
    monkeypatch.setattr(paths, "data", lambda *parts: tmp_path.joinpath("none", *parts))


@pytest.fixture
def failed(tmp_path: Path, registry_host: str, stage: StageContext) -> Failed:
    root = tmp_path / "root"
    write_clouds(root / "clouds/both.py", "name='local', is_default=True", "name='aws', variables={'workers': 2}")
    (root / "projects").mkdir()
    (root / "projects" / "demo.py").write_text(HEAD + PROJECT)
    chart = root / "charts" / "demo"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("name: demo\nversion: 0.2.0\n")
    (chart / "templates" / "all.yaml").write_text(TEMPLATE)
    return Failed(root, registry_host, stage)
