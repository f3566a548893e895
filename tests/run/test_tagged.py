"""Which clouds are asked for what carries a run's tag."""

from __future__ import annotations

import pytest

from pytest_crosscloud.model import Cloud, Credential
from pytest_crosscloud.run import tagged


def test_clouds_without_credentials_here_are_not_asked_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = (Credential("XC_ONE", "a key"), Credential("XC_TWO", "a region", required=False))
    clouds = [Cloud(name="free"), Cloud(name="paid", credentials=keys)]
    monkeypatch.delenv("XC_ONE", raising=False)
    able, others = tagged.askable(clouds)
    assert [cloud.name for cloud in able] == ["free"]
    assert tagged.not_asked(others) == "not asked, for their credentials are not set here: paid"
    monkeypatch.setenv("XC_ONE", "set")
    assert tagged.askable(clouds) == (clouds, [])
    assert tagged.not_asked([]) == ""
