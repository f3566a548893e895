"""The contract of a project plugin, as a class of tests."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from ..build.go import GoProgram
from ..build.gotests import GoTests
from ..build.names import pin_name
from ..build.parts import Parts
from ..build.upstream import UpstreamBuild
from ..declared import faults
from ..deploy import helm
from ..model import Artifacts, Pin, Project, Ref
from ..toolchain.tools import tool
from .contract import accept

#: Seconds for Helm to render a chart that lies here.
_COMMAND = 120.0

_DIGEST = "sha256:" + "0123456789abcdef" * 4

REF = Ref("stable", "v1.2.3", "0" * 40)


class ProjectContract:
    """What every project has to do, bundled or not::

    class TestMine(ProjectContract):
        project = crosscloud_projects()[0]
    """

    project: ClassVar[Project]

    #: The pins' names, if its build strategy is one of your own that makes more images than one: ``("API", "WEB")``.
    pins: ClassVar[tuple[str, ...]] = ()

    def test_declaration(self) -> None:
        accept(faults(self.project))

    def test_an_unchanged_input_is_not_built_again(self) -> None:
        strategies = [self.project.build, *([self.project.e2e.build] if self.project.e2e else [])]
        for strategy in strategies:
            made = [strategy.fingerprint(self.project, REF, "amd64") for _ in range(2)]
            assert made[0] == made[1], f"{strategy} gives the same input two fingerprints"
            other = strategy.fingerprint(self.project, REF, "arm64")
            assert made[0] != other, f"{strategy} gives two inputs one fingerprint"

    def test_the_e2e_container_lies_here(self) -> None:
        program = self.project.e2e.build if self.project.e2e else None
        program = program.program if isinstance(program, GoTests) else program
        if not isinstance(program, GoProgram):
            pytest.skip("it is no Go program of a directory")
        directory = program.directory
        missing = [name for name in ("go.mod", "go.sum") if not (directory / name).is_file()]
        assert not missing, f"{directory} has no {', '.join(missing)}"

    def test_the_chart_installs_what_was_built(self, pytestconfig: pytest.Config, tmp_path: Path) -> None:
        """Every image that was built is named by its digest, so that nothing else can be what was tested."""
        chart = helm.find_chart(self.project.chart, pytestconfig.rootpath)
        if "://" in chart:
            pytest.skip(f"{chart} is elsewhere")
        names = self.pins or _pins(self.project)
        pins = tuple(Pin(name, f"registry.test/{name.lower()}", "v1.2.3", _DIGEST) for name in names)
        artifacts = Artifacts(self.project.name, REF, "amd64", pins)
        values = tmp_path / "values.json"
        values.write_text(json.dumps(helm.values(self.project, artifacts)))
        argv = [str(tool("helm")), "template", "release", chart, "--namespace", "somewhere", "--values", str(values)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_COMMAND, check=False)
        assert done.returncode == 0, done.stderr
        objects = [found for found in yaml.safe_load_all(done.stdout) if found]
        wanted = {pin.reference for pin in pins}
        used = {image for found in objects for image in _images(found)}
        if self.project.is_kubernetes:
            return  # its images are those of the cluster
        assert wanted <= {_without_tag(image) for image in used}, f"the chart's images are {', '.join(sorted(used))}"


def _pins(project: Project) -> tuple[str, ...]:
    """The names of the pins that a bundled strategy makes."""
    match project.build:
        case Parts(parts=parts):
            return tuple(pin_name(replace(project, name=name)) for name in parts)
        case UpstreamBuild(images=images):
            return tuple(images)
    return (pin_name(project),)


def _images(node: object) -> list[str]:
    """All that stands under ``image``."""
    if isinstance(node, list):
        return [image for item in node for image in _images(item)]
    if not isinstance(node, dict):
        return []
    own = [value for key, value in node.items() if key == "image" and isinstance(value, str)]
    return own + [image for value in node.values() for image in _images(value)]


def _without_tag(image: str) -> str:
    """``host/name:tag@digest`` and ``host/name@digest`` are the same image."""
    name, _, digest = image.partition("@")
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}@{digest}"
