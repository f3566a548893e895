from __future__ import annotations

from pathlib import Path

import pytest

from clouds.local import crosscloud_clouds, prepared_disk
from pytest_crosscloud import paths
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import ErrorClass
from pytest_crosscloud.stage import Completed, StageContext
from pytest_crosscloud.toolchain.node import NodeBundle


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bundle(tmp_path: Path) -> NodeBundle:
    return NodeBundle(tmp_path / "bundle", "v1.36.3", "amd64", "v1.36.3-amd64-123", "0" * 64, "built", ())


class FakeStage(StageContext):
    """Makes the disk that prepare.sh would, or not."""

    calls: list[list[str]]
    fails = False

    def command(self, argv: list[str], **options: object) -> Completed:  # type: ignore[override]
        self.calls.append(argv)
        script = next(index for index, word in enumerate(argv) if word.endswith("prepare.sh"))
        disk = Path(argv[script + 1])
        assert not disk.exists(), "what an earlier try has left is removed"
        disk.mkdir(parents=True)
        if self.fails:
            raise StageError("prepare.sh exited with 1")
        return Completed(tuple(argv), 0, "", "")


@pytest.fixture
def stage(tmp_path: Path) -> FakeStage:
    stage = FakeStage("provision local", "0123abcd", tmp_path / "out")
    stage.calls = []
    return stage


def test_a_disk_is_prepared_once_per_bundle_and_service_range(bundle: NodeBundle, stage: FakeStage) -> None:
    disks = {
        prepared_disk(prepared, bundle, cidr, stage)
        for prepared, cidr in [
            ("cluster", "10.96.0.0/16"),
            ("cluster", "10.96.0.0/16"),
            ("cluster", "10.97.0.0/16"),
            ("images", "10.96.0.0/16"),
            ("images", "10.97.0.0/16"),
        ]
    }
    assert len(disks) == len(stage.calls) == 3
    assert all(disk and disk.is_relative_to(paths.cache("disks")) for disk in disks)


def test_a_half_prepared_disk_is_never_used(bundle: NodeBundle, stage: FakeStage) -> None:
    stage.fails = True
    with pytest.raises(StageError, match=r"prepare\.sh"):
        prepared_disk("images", bundle, "10.96.0.0/16", stage)
    stage.fails = False
    disk = prepared_disk("images", bundle, "10.96.0.0/16", stage)
    assert disk and disk.is_dir()
    assert len(stage.calls) == 2


def test_nothing_needs_no_disk(bundle: NodeBundle, stage: FakeStage) -> None:
    assert prepared_disk("nothing", bundle, "10.96.0.0/16", stage) is None
    assert stage.calls == []


def test_an_unknown_preparation_is_the_users_fault(bundle: NodeBundle, stage: FakeStage) -> None:
    with pytest.raises(StageError, match="did you mean 'cluster'") as error:
        prepared_disk("clusters", bundle, "10.96.0.0/16", stage)
    assert error.value.error_class is ErrorClass.CONFIGURATION


def test_it_comes_first() -> None:
    (cloud,) = crosscloud_clouds()
    assert (cloud.name, cloud.title) == ("local", "Local")
