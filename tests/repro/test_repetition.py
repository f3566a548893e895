"""A run of a bundle: its project and its one cell, with and without the plugin, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud import config as configuration
from pytest_crosscloud import plugins
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.errors import ConfigurationError, StageError
from pytest_crosscloud.model import Artifacts, BuildRequest, ErrorClass, StageName, Status
from pytest_crosscloud.repro import bundle, repetition
from pytest_crosscloud.repro.repetition import Repetition
from pytest_crosscloud.stage import StageContext
from tests.samples import write_clouds

from .conftest import Failed


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another rootdir, with clouds and without the project."""
    root = tmp_path / "elsewhere"
    write_clouds(root / "clouds/both.py", "name='local', is_default=True", "name='aws'")
    return root


def prepare(found: bundle.Bundle, root: Path, clouds: str | None = None) -> Repetition:
    loaded = plugins.load(root)
    return repetition.prepare(found, loaded, configuration.load(None, loaded, root), clouds)


def built(prepared: Repetition, root: Path, registry: str, stage: StageContext) -> Artifacts:
    """What the hook makes, in whatever plugins there are."""
    (build,) = prepared.matrix.builds
    project = prepared.config.projects[build.project]
    request = BuildRequest(project, project.build.resolve(project, build.ref), build.arch, registry, stage)
    artifacts: Artifacts = prepared.config.plugins.hook.crosscloud_build(request=request)
    return artifacts


def test_the_cell_is_what_it_was_without_its_plugin(failed: Failed, elsewhere: Path) -> None:
    prepared = prepare(failed.pack(), elsewhere)
    (cell,) = prepared.matrix.cells
    assert (cell.id, cell.build.id, cell.cluster.cloud) == ("demo-head-local", "demo-head", "local")
    assert (cell.build.ref, cell.cluster.kubernetes) == ("head", "v1.36.3")
    assert prepared.config.variables("local")["workers"] == 2
    project = prepared.config.projects["demo"]
    assert (project.timeout, project.values["replicas"], project.values["version"]) == (77, 2, "1e3")
    assert (Path(project.chart) / "Chart.yaml").read_text() == "name: demo\nversion: 0.2.0\n"
    assert project.e2e
    assert (project.e2e.env["RECORDS"], project.e2e.timeout) == ("a=b", 42)
    assert project.build.resolve(project, "head") == failed.run.refs["demo-head"]


def test_a_cloud_of_choice(failed: Failed, elsewhere: Path) -> None:
    found = failed.pack()
    assert prepare(found, elsewhere, "aws").matrix.cells[0].id == "demo-head-aws"
    with pytest.raises(ConfigurationError, match="unknown cloud 'gce'"):
        prepare(found, elsewhere, "gce")
    with pytest.raises(ConfigurationError, match="repeated on one cloud"):
        prepare(found, elsewhere, "aws,local")


def test_its_images_are_pushed_and_have_the_digests_that_failed(
    failed: Failed, elsewhere: Path, registry_host: str, stage: StageContext
) -> None:
    found = failed.pack()
    # A plugin that would build something else: the bundle comes first.
    (elsewhere / "conftest.py").write_text(
        "from pytest_crosscloud import hookimpl\n"
        "@hookimpl(tryfirst=True)\ndef crosscloud_build(request):\n    raise ValueError('built')\n"
    )
    loaded = plugins.load(elsewhere, [elsewhere / "conftest.py"])
    prepared = repetition.prepare(found, loaded, configuration.load(None, loaded, elsewhere), None)
    artifacts = built(prepared, elsewhere, registry_host, stage)
    assert artifacts.e2e
    for pin, before in zip((*artifacts.pins, artifacts.e2e), found.pins, strict=True):
        assert (pin.name, pin.digest) == (before.pin.name, before.pin.digest)
        assert Repository.parse(pin.image).digest(pin.digest) == pin.digest


def test_an_image_that_is_another_is_refused(
    failed: Failed, elsewhere: Path, registry_host: str, stage: StageContext
) -> None:
    prepared = prepare(failed.pack(), elsewhere)
    folder = Path(prepared.config.projects["demo"].chart).parents[1]
    (folder / "images/demo").rename(folder / "images/swap")
    (folder / "images/demo_e2e").rename(folder / "images/demo")
    with pytest.raises(StageError, match="the bundle's images/demo is sha256:") as caught:
        built(prepared, elsewhere, registry_host, stage)
    assert caught.value.error_class == ErrorClass.CONFIGURATION


def test_an_image_that_was_left_out_is_named(failed: Failed, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "IMAGES_LIMIT", 100)
    found = failed.pack()
    with pytest.raises(ConfigurationError, match=r"lacks the image 127\.0\.0\.1.*images/demo: "):
        prepare(found, elsewhere)


def _without_build(failed: Failed) -> bundle.Bundle:
    e2e = failed.results[StageName.E2E]
    build = replace(failed.results[StageName.BUILD], status=Status.FAILED, data={}, failure=e2e.failure)
    failed.results = {StageName.BUILD: build}
    return failed.pack()


def test_a_failed_build_is_built_again_by_its_plugin(failed: Failed, elsewhere: Path) -> None:
    found = _without_build(failed)
    with pytest.raises(ConfigurationError, match="no plugin declares the project 'demo'") as caught:
        prepare(found, elsewhere)
    assert "plugin" in caught.value.remedy
    project = prepare(found, failed.root).config.projects["demo"]
    assert project.build.resolve(project, "head") == failed.run.refs["demo-head"], "whatever head is today"
    assert (project.values["replicas"], project.timeout) == (2, 77)


def test_kubernetes_is_built_again_and_its_container_keeps_its_account(failed: Failed) -> None:
    plugin = failed.root / "projects/demo.py"
    text = plugin.read_text().replace("timeout=77", "timeout=77, is_kubernetes=True")
    plugin.write_text(text.replace("timeout=42", "timeout=42, service_account='conformance'"))
    loaded = plugins.load(failed.root)
    failed.run.config = configuration.load(None, loaded, failed.root)
    found = failed.pack()
    assert found.pins == []
    prepared = prepare(found, failed.root)
    (cell,) = prepared.matrix.cells
    assert (cell.build.ref, cell.cluster.kubernetes, cell.cluster.made_of) == ("head", "v1.36.3", "")
    project = prepared.config.projects["demo"]
    assert project.build.resolve(project, "head") == failed.run.refs["demo-head"]
    assert project.e2e
    assert project.e2e.service_account == "conformance"


def test_a_plugin_that_is_there_keeps_its_names_and_gets_the_bundles_content(failed: Failed) -> None:
    found = failed.pack()
    plugin = failed.root / "projects/demo.py"
    plugin.write_text(plugin.read_text().replace("timeout=77", "timeout=5, display_name='Mine'"))
    project = prepare(found, failed.root).config.projects["demo"]
    assert (project.title, project.timeout) == ("Mine", 77)


def test_a_bundle_of_before_lacks_nothing_that_is_read(failed: Failed, elsewhere: Path) -> None:
    """Every key that a repetition reads is one that ``read`` asks for: none is found missing in the middle of a run."""
    asked: set[str] = set()

    class Watched(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            asked.add(key)
            return super().__getitem__(key)

    found = failed.pack()
    prepare(replace(found, document=Watched(json.loads(json.dumps(found.document)))), elsewhere)
    assert asked <= {*bundle._READ, "pins"}
