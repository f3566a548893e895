"""A project of several images: whose version is whose, and what is pinned."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_crosscloud.build.parts import Part, Parts
from pytest_crosscloud.commands.plan import _fingerprints
from pytest_crosscloud.model import E2E, Artifacts, BuildRequest, Pin, Project, Ref
from pytest_crosscloud.stage import StageContext


@dataclass(frozen=True)
class Known:
    """A strategy that knows what each ref is, and says what it was asked to build."""

    versions: dict[str, str] = field(default_factory=dict)

    def resolve(self, project: Project, ref: str) -> Ref:
        return Ref(ref, {"stable": project.stable_ref}.get(ref) or self.versions.get(ref, ref))

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        return f"{project.name} {ref.version} {arch}"

    def build(self, request: BuildRequest) -> Artifacts:
        name, version = request.project.name, request.ref.version
        pin = Pin(name.upper(), f"registry.test/{name}", version, "sha256:0")
        return Artifacts(name, request.ref, request.arch, (pin,), cached=version == "v1")


PARTS = Parts(
    parts={
        "main": Part(build=Known({"head": "v3", "v2": "v2"})),
        "sidecar": Part(build=Known(), follows=True),
        "agent": Part(build=Known({"head": "v0.9", "stable": "v0.7"}), stable_ref="v0.5"),
    }
)
PROJECT = Project(name="several", build=PARTS, chart="several", stable_ref="v1")


def build(ref: Ref, directory: Path) -> Artifacts:
    return PARTS.build(BuildRequest(PROJECT, ref, "amd64", "registry.test", StageContext("build", "run", directory)))


def test_stable_and_head_are_each_parts_own(tmp_path: Path) -> None:
    for name, main, agent in (("stable", "v1", "v0.5"), ("head", "v3", "v0.9")):
        ref = PARTS.resolve(PROJECT, name)
        assert (ref.version, {part: found.version for part, found in ref.parts.items()}) == (main, {"agent": agent})
        tags = {pin.name: pin.tag for pin in build(ref, tmp_path).pins}
        assert tags == {"MAIN": main, "SIDECAR": main, "AGENT": agent}


def test_where_every_run_finds_out_what_is_stable_it_does_so_of_every_part() -> None:
    moving = replace(PROJECT, stable_ref="auto")
    for ref in ("stable", "v2"):
        assert PARTS.resolve(moving, ref).parts["agent"].version == "v0.7"


def test_a_literal_ref_is_the_first_parts_and_the_others_are_stable() -> None:
    ref = PARTS.resolve(PROJECT, "v2")
    assert (ref.name, ref.version, ref.parts["agent"].version) == ("v2", "v2", "v0.5")


def test_a_part_that_changed_makes_it_another_build(tmp_path: Path) -> None:
    stable = PARTS.resolve(PROJECT, "stable")
    newer = replace(stable, parts={"agent": Ref("stable", "v0.6")})
    assert PARTS.fingerprint(PROJECT, stable, "amd64") != PARTS.fingerprint(PROJECT, newer, "amd64")
    assert not build(stable, tmp_path).cached, "the agent was built"


def test_each_part_is_kept_by_itself() -> None:
    ref = PARTS.resolve(PROJECT, "stable")
    project = replace(PROJECT, e2e=E2E(build=Known()))
    assert list(_fingerprints(project, ref, "amd64")) == [
        "main v1 amd64",
        "sidecar v1 amd64",
        "agent v0.5 amd64",
        "several v1 amd64",
    ]


def test_versions_of_parts_are_recorded_with_the_run() -> None:
    ref = PARTS.resolve(PROJECT, "stable")
    assert Ref.from_json(ref.to_json()) == ref


def test_a_person_is_told_the_parts_versions_and_what_is_to_be_known() -> None:
    ref = replace(PARTS.resolve(PROJECT, "stable"), note="why")
    assert ref.remark == "with agent v0.5; why"
    assert (replace(ref, parts={}).remark, Ref("head", "v1").remark) == ("why", "")
