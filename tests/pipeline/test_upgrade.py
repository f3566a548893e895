"""pytest --upgrade: which upgrades there are, what each does, and what becomes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Rootdir

#: One project on one cloud, with both refs.
DEMO = ("--clouds=here", "--projects=demo")
WAY = [
    "deploy demo-stable-here",
    "e2e demo-stable-here before",
    "upgrade demo-upgrade to head",
    "e2e demo-head-here after",
    "upgrade demo-upgrade to stable",
    "e2e demo-stable-here back",
]


def way(rootdir: Rootdir) -> list[str]:
    """What was begun on the upgrade's way."""
    return [line.removeprefix("start ") for line in rootdir.ledger("start") if line.removeprefix("start ") in WAY]


def outcomes(rootdir: Rootdir) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((rootdir.out / "results.json").read_text())["tests"]
    return [test for test in found if "upgrade" in test["nodeid"]]


def stages(rootdir: Rootdir) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((rootdir.out / "results.json").read_text())["upgrades"]
    return found


def test_a_release_goes_there_and_back(rootdir: Rootdir) -> None:
    result = rootdir.run(*DEMO, "--upgrade", "-k", "upgrade")
    assert result.ret == 0
    assert way(rootdir) == WAY
    assert rootdir.ledger("destroy") == ["destroy here"], "after its last test"
    result.stdout.fnmatch_lines(
        ["*upgrade *demo-here *success*8+8+8 checks passed; to v1.1.0-rc1: always there; to v1.0.0: always there*"]
    )
    (test,) = outcomes(rootdir)
    assert (test["nodeid"].rpartition("::")[2], test["outcome"], test["bundled"]) == (
        "test_upgrade[demo-here]",
        "passed",
        False,
    )
    (stage,) = json.loads((rootdir.out / "results.json").read_text())["upgrades"]
    assert (stage["target"], stage["status"], stage["log"]) == (
        "demo-here",
        "success",
        "upgrades/demo-here/upgrade.log",
    )
    result.stdout.fnmatch_lines(["upgrade demo-here  success * 8+8+8 checks passed*"])
    page = (rootdir.out / "index.html").read_text()
    assert '<a class="badge success" href="upgrades/demo-here/upgrade.log">success</a>' in page
    written = [json.loads(path.read_text()) for path in (rootdir.out / "allure-results").glob("*-result.json")]
    assert [found["status"] for found in written if found["name"] == "test_upgrade[demo-here]"] == ["passed"]
    log = (rootdir.out / "upgrades" / "demo-here" / "upgrade.log").read_text()
    assert "== 2-upgrade: deploy" in log


def test_upgrades_are_for_those_who_ask(rootdir: Rootdir) -> None:
    result = rootdir.run(*DEMO, "--collect-only", "-q")
    assert "upgrade" not in result.stdout.str()
    wide = ("--clouds=here,there", "--projects=demo,other", "--kubernetes=stable,v1")
    result = rootdir.run(*wide, "--upgrade", "--collect-only", "-q")
    found = [line.partition("::")[2] for line in result.outlines if "test_upgrade" in line]
    assert sorted(found) == sorted(
        f"test_upgrade[{project}-{cloud}-{kubernetes}]"
        for project in ("demo", "other")
        for cloud in ("here", "there")
        for kubernetes in ("stable", "v1")
    )


def test_one_ref_is_no_way(rootdir: Rootdir) -> None:
    result = rootdir.run(*DEMO, "--refs=stable", "--upgrade")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--upgrade goes from one ref to another*", "*--refs*"])


@pytest.mark.parametrize("arguments", [(), ("-n", "3")])
def test_any_two_refs_beside_all_the_rest(rootdir: Rootdir, arguments: tuple[str, ...]) -> None:
    result = rootdir.run(*DEMO, "--refs=v1.2,v1.3", "--upgrade", *arguments)
    assert result.ret == 0
    result.assert_outcomes(passed=6)
    assert len(rootdir.ledger("start build")) == 2
    assert len(rootdir.ledger("start provision")) == 1
    assert rootdir.ledger("start upgrade") == [
        "start upgrade demo-upgrade to v1.3",
        "start upgrade demo-upgrade to v1.2",
    ]


@pytest.mark.parametrize(
    ("broken", "how", "said", "last"),
    [
        ("deploy demo-stable-here", "fail", "at v1.0.0: deploy demo-stable-here went wrong", 0),
        ("upgrade demo-upgrade to head", "fail", "upgrade to v1.1.0-rc1: upgrade demo-upgrade to head went wrong", 2),
        ("e2e demo-head-here after red", "", "upgrade to v1.1.0-rc1: 1 of 8 checks failed: data: gone", 3),
        ("upgrade demo-upgrade to stable", "fail", "back to v1.0.0: upgrade demo-upgrade to stable went wrong", 4),
        ("e2e demo-stable-here back red", "", "back to v1.0.0: 1 of 8 checks failed: data: gone", 5),
    ],
)
def test_the_step_that_fails_is_named(rootdir: Rootdir, broken: str, how: str, said: str, last: int) -> None:
    rootdir.make(broken, how)
    result = rootdir.run(*DEMO, "--upgrade", "-k", "upgrade")
    assert result.ret == 1
    assert way(rootdir) == WAY[: last + 1]
    result.stdout.fnmatch_lines(
        [
            f"*upgrade *demo-here *failed*{said}*",
            "upgrade demo-here  failed * product",
            f"    {said}*",
            "    evidence  reports/out/upgrades/demo-here/",
        ]
    )
    assert f'<span class="why">{said}</span>' in (rootdir.out / "index.html").read_text()
    (test,) = outcomes(rootdir)
    assert test["outcome"] == "failed"
    assert said in test["message"]
    assert (rootdir.out / "upgrades" / "demo-here" / "evidence" / "summary.txt").exists()


def test_without_a_build_there_is_no_upgrade(rootdir: Rootdir) -> None:
    rootdir.make("build demo-head", "fail")
    result = rootdir.run(*DEMO, "--upgrade", "-k", "upgrade")
    assert result.ret == 1
    assert way(rootdir) == []
    (test,) = outcomes(rootdir)
    assert test["outcome"] == "skipped"
    assert "upgrade demo-here is n/a: build demo-head failed" in test["message"]


def test_the_same_images_are_no_upgrade(rootdir: Rootdir) -> None:
    result = rootdir.run(*DEMO, "--refs=stable,v1.2", "--upgrade", "-k", "upgrade")
    assert result.ret == 0
    assert way(rootdir) == []
    assert rootdir.ledger("start provision") == [], "no cluster is made for nothing"
    (test,) = outcomes(rootdir)
    assert (test["outcome"], "upgrade demo-here: v1.0.0 is both: the same images" in test["message"]) == (
        "skipped",
        True,
    )


def test_infrastructure_is_tried_again_from_the_beginning(rootdir: Rootdir) -> None:
    rootdir.configure("retries: {backoff: 0}")
    rootdir.make("upgrade demo-upgrade to head", "quota 1")
    result = rootdir.run(*DEMO, "--upgrade", "-k", "upgrade")
    assert result.ret == 0
    assert way(rootdir) == [*WAY[:3], *WAY]


def test_resume_leaves_out_what_has_arrived(rootdir: Rootdir) -> None:
    rootdir.make("e2e demo-head-here", "quota 99")
    rootdir.configure("retries: {backoff: 0}")
    assert rootdir.run(*DEMO, "--upgrade").ret == 1
    (rootdir.path / "e2e-demo-head-here").unlink()
    result = rootdir.run("--resume")
    assert result.ret == 0
    assert way(rootdir).count("upgrade demo-upgrade to head") == 1
    assert len(outcomes(rootdir)) == 1
    assert [found["status"] for found in stages(rootdir)] == ["success"]


def test_what_did_not_arrive_is_red_in_the_run_that_goes_on_too(rootdir: Rootdir) -> None:
    rootdir.make("upgrade demo-upgrade to head", "fail")
    rootdir.make("deploy demo-head-here", "quota 99")
    rootdir.configure("retries: {backoff: 0, attempts: 1}")
    assert rootdir.run(*DEMO, "--upgrade").ret == 1
    (rootdir.path / "deploy-demo-head-here").unlink()
    result = rootdir.run("--resume")
    assert result.ret == 1
    assert way(rootdir).count("upgrade demo-upgrade to head") == 1
    (stage,) = stages(rootdir)
    assert (stage["status"], stage["error"]["class"]) == ("failed", "product")
    assert json.loads((rootdir.out / "results.json").read_text())["run"]["status"] == "failed"
