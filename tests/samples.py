"""Plugin files for tests: clouds and projects that touch nothing."""

from __future__ import annotations

from pathlib import Path

HEAD = """
from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Cloud, E2E, Project, Ref

class Strategy:
    def resolve(self, project, ref):
        return Ref(ref, "v1.0.0")
    def fingerprint(self, project, ref, arch):
        return f"{project.name}-{ref.version}-{arch}"
    def build(self, request):
        raise NotImplementedError
"""


def write_clouds(path: Path, *specs: str) -> Path:
    """A plugin that declares clouds; each spec is the arguments of a ``Cloud``."""
    return _write(path, "clouds", [f"Cloud({spec})" for spec in specs])


def write_projects(path: Path, *specs: str) -> Path:
    """A plugin that declares projects; each spec is the arguments of a ``Project`` beside build and chart."""
    return _write(path, "projects", [f"Project(build=Strategy(), chart='c', {spec})" for spec in specs])


def _write(path: Path, kind: str, calls: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}\n@hookimpl\ndef crosscloud_{kind}():\n    return [{', '.join(calls)}]\n")
    return path
