"""The upgrade of CoreDNS on a real cluster: what arrives, and what is seen on the way if it does not."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from projects import coredns
from pytest_crosscloud import paths, plugins
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.kube import Api
from pytest_crosscloud.model import Artifacts, ErrorClass, Project
from pytest_crosscloud.run.upgrade import Journey
from tests.e2e.site import Site, open_site

pytestmark = pytest.mark.root

BUNDLED = coredns.crosscloud_projects()[0]
#: How long it takes until a cluster has heard of a change depends on what else its computer does.
PATIENT = dataclasses.replace(BUNDLED, upgrade_gap=30)


@dataclasses.dataclass(frozen=True)
class Way:
    """Where the upgrades of this file go."""

    site: Site
    stable: Artifacts
    head: Artifacts

    def make(self, name: str, project: Project = BUNDLED, after: Artifacts | None = None) -> dict[str, Any]:
        journey = Journey(
            plugins=plugins.load(Path(__file__).parents[2]),
            project=project,
            before=self.stable,
            after=after or self.head,
            cluster=self.site.cluster,
            namespace=name,
            release="dns-upgrade",
            registry=self.site.registry,
            rootdir=Path(__file__).parents[2],
            deploy_timeout=180,
            e2e_timeout=240,
            stage=self.site.stage(f"upgrade {name}", 900),
        )
        return journey.make()[0]

    def log(self, name: str, step: str) -> str:
        return (self.site.directory / f"upgrade-{name}" / step / "upgrade.log").read_text()


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    with open_site("e2eupgrade", tmp_path_factory.mktemp("upgrade")) as site:
        yield Way(site, site.build(BUNDLED), site.build(BUNDLED, "head"))


def chart(directory: Path, strategy: str) -> str:
    """CoreDNS' chart with another strategy of its Deployment."""
    copy = directory / "coredns"
    shutil.copytree(paths.data("charts", "coredns"), copy)
    template = copy / "templates" / "deployment.yaml"
    text = template.read_text()
    assert text.count("  replicas:") == 1
    template.write_text(text.replace("  replicas:", f"  strategy: {{type: {strategy}}}\n  replicas:"))
    return str(copy)


def test_coredns_goes_to_head_and_back_and_answers_all_the_way(way: Way) -> None:
    data = way.make("green", PATIENT)

    assert [result["exit_code"] for result in data["e2e"]] == [0, 0, 0]
    assert data["release"]["revision"] == 3
    assert all("questions" in line for line in data["availability"])
    (deployment,) = Api(way.site.cluster.kubeconfig).get("/apis/apps/v1/namespaces/green/deployments")["items"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == way.stable.pins[0].reference


@pytest.mark.slow
def test_a_head_that_crashes_is_red_and_nobody_goes_unanswered(way: Way) -> None:
    assert way.head.e2e
    # Its program knows none of CoreDNS' arguments and ends at once.
    crashing = dataclasses.replace(way.head.pins[0], image=way.head.e2e.image, digest=way.head.e2e.digest)
    with pytest.raises(StageError, match=r"upgrade to v[\d.]+: pod dns-upgrade-.*CrashLoopBackOff") as raised:
        way.make("crash", PATIENT, after=dataclasses.replace(way.head, pins=(crashing,)))

    assert raised.value.error_class == ErrorClass.PRODUCT
    gap = float(way.log("crash", "2-upgrade").partition("longest gap ")[2].partition(" s")[0])
    assert gap < PATIENT.upgrade_gap, "the pods of before still answer"


def test_a_release_that_goes_away_on_the_way_is_red(way: Way, tmp_path: Path) -> None:
    project = dataclasses.replace(BUNDLED, chart=chart(tmp_path, "Recreate"), upgrade_gap=0.5)
    with pytest.raises(StageError, match=r"upgrade to v[\d.]+: dns-upgrade:\d+ answered nobody for") as raised:
        way.make("recreate", project)

    assert raised.value.error_class == ErrorClass.PRODUCT
