"""Projects whose images are taken over, on a real cluster: stand-ins are pulled by digest from a registry that is here.

What is seen here is that plugin, chart and e2e container go together, and that each e2e finds what it is for. The
projects themselves were not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud import plugins
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.kube import Api
from pytest_crosscloud.model import ErrorClass, Project
from tests.e2e.job import Job
from tests.e2e.site import Site, open_site
from tests.standins import publish

pytestmark = [pytest.mark.root, pytest.mark.slow]

BUNDLED = plugins.load(Path(__file__).parent).projects
NAMES = ("fluentd", "linkerd", "vitess", "onap-so")

#: The bcrypt hash of the password "another".
ANOTHER = "$2a$10$Fh9ffgPw2vnmsghsRD3ZauacZ6iBOy2KPHSPz.x1niyVwvjLpamta"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site("e2eupstream", tmp_path_factory.mktemp("upstream")) as site:
        yield site


@pytest.fixture(scope="module")
def published(site: Site) -> Callable[..., Project]:
    """A project with its stand-in's images in the site's registry."""

    def published_(name: str, fault: str = "") -> Project:
        return publish(BUNDLED[name], site.registry, site.stage(f"publish {name} {fault}", 600), fault=fault)

    return published_


@pytest.fixture(autouse=True)
def room(site: Site) -> Iterator[None]:
    """What a test has installed goes with it: a node has not the CPU for all of it."""
    yield
    api = Api(site.cluster.kubeconfig)

    def installed() -> list[str]:
        names = (found["metadata"]["name"] for found in api.get("/api/v1/namespaces")["items"])
        return [name for name in names if name.startswith(NAMES)]

    for name in installed():
        api.delete(f"/api/v1/namespaces/{name}")
    site.stage("room", 180).wait_until(lambda: not installed(), "the test's namespaces to be gone", interval=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_a_stand_in_is_installed_by_its_digest_and_passes_every_check(
    site: Site, published: Callable[..., Project], name: str
) -> None:
    project = published(name)
    artifacts = site.build(project)
    result, failed = site.verdict(f"{name}-green", project, artifacts)
    assert (result.exit_code, failed) == (0, {}), Path(result.log).read_text()
    assert result.counts and result.counts.passed >= 9
    pods = Api(site.cluster.kubeconfig).get(f"/api/v1/namespaces/{name}-green/pods")["items"]
    images = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
    assert images >= {pin.reference for pin in artifacts.pins}
    assert all(pin.image.startswith(f"{site.registry}/") for pin in artifacts.pins)


@pytest.mark.parametrize(
    ("name", "values", "red"),
    [
        ("fluentd", {"bodySizeLimit": "8m"}, {"a body that is too large is refused"}),
        ("fluentd", {"pipeline": "another"}, {"a record comes out with its tag and fields"}),
        ("linkerd", {"rbac": False}, {"answers at all"}),
        ("onap-so", {"users": {"InfraPortalClient": {"password": ANOTHER}}}, {"its own user is let in"}),
        (
            "vitess",
            {"keyspaces": {"commerce": 1}},
            {"the shards that were asked for", "rows are spread over the shards"},
        ),
    ],
)
def test_a_wrong_configuration_is_found_by_its_check(
    site: Site, published: Callable[..., Project], name: str, values: dict[str, Any], red: set[str]
) -> None:
    project = replace(published(name), values=values)
    _, failed = site.verdict(f"{name}-{next(iter(values)).lower()}", project)
    assert set(failed) == red


def test_a_program_that_is_sent_elsewhere_never_becomes_ready(site: Site, published: Callable[..., Project]) -> None:
    project = replace(published("onap-so"), values={"requestDatabase": "127.0.0.1:1"})
    with pytest.raises(StageError, match="onap-so") as caught:
        site.deploy("onap-so-elsewhere", project, site.build(project), seconds=30)
    assert caught.value.error_class == ErrorClass.PRODUCT


@pytest.mark.parametrize(
    ("name", "fault", "red"),
    [
        ("fluentd", "loses", "nothing is lost while the receiver has no time"),
        ("linkerd", "names itself", "its own Service has an endpoint, which is it"),
        ("vitess", "takes keys twice", "a key is unique over the shards"),
        ("onap-so", "forgets", "what becomes of the request can be asked"),
    ],
)
def test_a_wrong_image_is_found_by_its_check(
    site: Site, published: Callable[..., Project], name: str, fault: str, red: str
) -> None:
    published(name)  # the parts that are not under test
    _, failed = site.verdict(f"{name}-faulty", published(name, fault))
    assert red in failed
    assert len(failed) <= 2, failed


def test_an_image_of_another_program_is_the_products_fault(site: Site, published: Callable[..., Project]) -> None:
    project, other = published("fluentd"), published("linkerd")
    artifacts = site.build(project)
    pins = (replace(site.build(other).pins[0], name="FLUENTD"),)
    with pytest.raises(StageError, match=r"CrashLoopBackOff|NotReady") as caught:
        site.deploy("fluentd-other", project, replace(artifacts, pins=pins), seconds=90)
    assert caught.value.error_class == ErrorClass.PRODUCT


def test_a_run_shows_the_stand_ins_as_such_and_the_projects_as_out_of_reach(
    site: Site, published: Callable[..., Project], start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole cell of each, beside the one of the project, whose own registry nobody asks."""
    for name in NAMES:
        published(name)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    conftest = f"""
        from pytest_crosscloud import hookimpl
        from projects import fluentd, linkerd, onap_so, vitess
        from tests.standins import out_of_reach, stand_in

        @hookimpl
        def crosscloud_projects():
            taken_over = [plugin.crosscloud_projects()[0] for plugin in (fluentd, linkerd, vitess, onap_so)]
            return [*map(out_of_reach, taken_over), *(stand_in(each, {site.registry!r}) for each in taken_over)]
    """
    job = start(
        "--projects=" + ",".join(f"{name}-{what}" for name in NAMES for what in ("out-of-reach", "stand-in")),
        "--refs=stable",
        f"--registry={site.registry}",
        files={"conftest.py": re.sub(r"^ {8}", "", conftest, flags=re.M)},
    )
    assert job.wait() == 0, job.text
    cells = job.cells()
    document = json.loads((job.out / "results.json").read_text())
    titles = {project["name"]: project["display_name"] for project in document["projects"]}
    assert len(cells) == len(titles) == 2 * len(NAMES)
    for name in NAMES:
        title = BUNDLED[name].display_name
        real, other = cells[f"{name}-out-of-reach-stable-local"], cells[f"{name}-stand-in-stable-local"]
        assert real["status"] == "n/a"
        assert real["stages"]["build"]["error"]["message"].startswith("registry unreachable: registry.invalid: ")
        assert (real["pins"], real["checks"]) == ([], None)
        assert other["status"] == "success"
        assert other["checks"]["counts"]["failed"] == 0
        assert (titles[f"{name}-out-of-reach"], titles[f"{name}-stand-in"]) == (title, f"{title} (stand-in)")
        stable = re.escape(f"stable {BUNDLED[name].stable_ref}")
        assert re.search(rf"^{title} +{stable} +n/a +n/a$", job.text, re.M), job.text
        assert re.search(rf"^{title} \(stand-in\) +{stable} +success +success$", job.text, re.M), job.text
