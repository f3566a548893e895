"""Which packages are missing, and how they are installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_crosscloud.errors import StageError
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import debian

from .conftest import Programs


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_only_what_is_not_there_is_missing(programs: Programs, tmp_path: Path) -> None:
    programs.put("containerd-there", "")
    (tmp_path / "bridge").touch()
    wanted = {"containerd-there": "a", "no-such-program": "b", f"{tmp_path}/bridge": "c", f"{tmp_path}/none": "d"}
    assert debian.missing(wanted) == ["b", "d"]
    assert debian.missing({"no-such-program": "b", "nor-this": "b"}) == ["b"]


APT = 'echo "$DEBIAN_FRONTEND $*" >> "$0.log"; echo "Setting up runc (1.1.4) ..."'


def test_packages_are_installed_without_a_question(
    programs: Programs, root: None, stage: StageContext, said: list[str]
) -> None:
    apt = programs.put("apt-get", APT)
    debian.install(stage, ["runc", "socat"])
    calls = Path(f"{apt}.log").read_text().splitlines()
    assert calls == ["noninteractive install --yes --no-install-recommends runc socat"]
    assert said == ["apt-get install runc socat", "apt-get: Setting up runc"]


def test_lists_are_updated_only_if_a_package_is_not_known(programs: Programs, root: None, stage: StageContext) -> None:
    apt = programs.put("apt-get", f'{APT}; [ "$1" = update ] && : > "$0.lists"; [ -e "$0.lists" ]')
    debian.install(stage, ["runc"])
    calls = Path(f"{apt}.log").read_text().splitlines()
    assert [next(word for word in call.split() if word in ("install", "update")) for call in calls] == [
        "install",
        "update",
        "install",
    ]


def test_without_root_it_says_what_to_type(
    programs: Programs, stage: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    programs.put("apt-get", "exit 1")
    with pytest.raises(StageError, match="missing Debian packages: runc, socat") as caught:
        debian.install(stage, ["runc", "socat"])
    assert caught.value.remedy.endswith("apt-get install --yes --no-install-recommends runc socat")


def test_another_system_is_told_the_names(programs: Programs, root: None, stage: StageContext) -> None:
    with pytest.raises(StageError, match=r"runc.*no apt-get"):
        debian.install(stage, ["runc"])
