"""Deploy and e2e on a real local cluster: what succeeds, and every way to fail."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from projects import coredns
from pytest_crosscloud.build.go import GoProgram
from pytest_crosscloud.deploy import evidence, helm
from pytest_crosscloud.errors import DeadlineExceeded, StageError
from pytest_crosscloud.kube import Api, ApiError
from pytest_crosscloud.model import (
    E2E,
    Artifacts,
    Cluster,
    E2EResult,
    ErrorClass,
    Pin,
    Project,
    Release,
)
from tests.e2e.site import Site, open_site

pytestmark = pytest.mark.root

PLAYER = GoProgram(directory=Path(__file__).parent / "player", image="tests/player")
BUNDLED = coredns.crosscloud_projects()[0]


@dataclasses.dataclass(frozen=True)
class Place:
    """The site that the tests of this file share, with the images that they run."""

    site: Site
    coredns: Artifacts
    player: Pin

    @property
    def cluster(self) -> Cluster:
        return self.site.cluster

    @property
    def directory(self) -> Path:
        return self.site.directory

    def deploy(
        self, namespace: str, project: Project = BUNDLED, *, pin: Pin | None = None, seconds: float = 120
    ) -> Release:
        artifacts = dataclasses.replace(self.coredns, pins=(pin,)) if pin else self.coredns
        return self.site.deploy(namespace, project, artifacts, release="dns", seconds=seconds)

    def run(self, release: Release, project: Project = BUNDLED, *, pin: Pin | None = None, name: str = "") -> E2EResult:
        artifacts = dataclasses.replace(self.coredns, e2e=pin) if pin else self.coredns
        return self.site.e2e(release, project, artifacts, name=name)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_site("e2edeploy", tmp_path_factory.mktemp("deploy")) as site:
        player, _ = PLAYER.publish(site.stage("build player", 600), site.registry, "amd64", "PLAYER")
        yield Place(site, site.build(BUNDLED), player)


@pytest.fixture(scope="module")
def release(place: Place) -> Release:
    """CoreDNS as it should be: what the e2e containers of the tests run beside."""
    return place.deploy("green")


@pytest.fixture
def play(place: Place, release: Release) -> Callable[..., E2EResult]:
    """Run the player beside the release."""

    def play_(what: str, timeout: float = 60) -> E2EResult:
        project = dataclasses.replace(BUNDLED, e2e=E2E(build=PLAYER, env={"PLAY": what}, timeout=timeout))
        return place.run(release, project, pin=place.player, name=what)

    return play_


def test_coredns_is_installed_with_its_pin_and_passes_its_checks(place: Place, release: Release) -> None:
    result = place.run(release)

    assert result.exit_code == 0, Path(result.log).read_text()
    assert result.counts
    assert (result.counts.failed, result.counts.passed > 5) == (0, True)
    (pod,) = Api(place.cluster.kubeconfig).get(
        "/api/v1/namespaces/green/pods", labelSelector="app.kubernetes.io/name=coredns"
    )["items"]
    assert pod["spec"]["containers"][0]["image"] == place.coredns.pins[0].reference
    namespace = Api(place.cluster.kubeconfig).get("/api/v1/namespaces/green")
    assert namespace["metadata"]["labels"]["crosscloud-run"] == place.site.run


def test_the_container_knows_its_release_and_has_no_token(place: Place, play: Callable[..., E2EResult]) -> None:
    result = play("environment")

    assert Path(result.log).read_text() == f"NAMESPACE green\nRELEASE dns\nRESULTS /results\nRUN {place.site.run}\n"


def test_failed_checks_are_counted_and_named(play: Callable[..., E2EResult]) -> None:
    result = play("fail")

    assert result.exit_code == 1
    assert result.counts
    assert (result.counts.passed, result.counts.failed) == (1, 1)
    assert result.failures == ("reverse lookup: no PTR record",)
    assert "no PTR record" in Path(result.junit).read_text()


@pytest.mark.parametrize(("what", "code"), [("no junit", 7), ("broken junit", 0)])
def test_the_exit_code_decides_without_a_junit_file(play: Callable[..., E2EResult], what: str, code: int) -> None:
    result = play(what)

    assert (result.exit_code, result.counts) == (code, None)


def test_a_container_that_hangs_is_ended_and_its_log_kept(place: Place, play: Callable[..., E2EResult]) -> None:
    with pytest.raises(DeadlineExceeded, match="did not end within 3 s") as raised:
        play("hang", timeout=3)

    assert raised.value.error_class == ErrorClass.PRODUCT
    log = place.directory / "e2e-hang" / "e2e-container.log"
    assert log.read_text() == "waiting for something that never comes\n"


def test_a_flood_fills_no_disk_and_loses_no_result(place: Place, play: Callable[..., E2EResult]) -> None:
    result = play("flood")

    log = Path(result.log)
    assert log.stat().st_size < 6 << 20
    assert "left out" in log.read_text()
    assert result.counts
    assert result.counts.failed == 1
    assert "large.bin left out" in (place.directory / "e2e-flood" / "e2e.log").read_text()


def test_an_image_that_is_not_there_fails_at_once(place: Place) -> None:
    missing = dataclasses.replace(place.coredns.pins[0], digest="sha256:" + "0" * 64)

    with pytest.raises(StageError, match=f"image {missing.reference} cannot be pulled") as raised:
        place.deploy("no-image", pin=missing, seconds=600)

    assert raised.value.error_class == ErrorClass.INFRASTRUCTURE
    assert raised.value.__cause__ is None, "Helm has not come to the end of its time: it would be the cause"


def test_an_e2e_image_that_is_not_there_is_not_the_products_fault(place: Place, release: Release) -> None:
    missing = dataclasses.replace(place.player, digest="sha256:" + "0" * 64)

    with pytest.raises(StageError, match="cannot be pulled") as raised:
        place.run(release, pin=missing, name="no image")

    assert raised.value.error_class == ErrorClass.INFRASTRUCTURE


def test_a_crash_loop_is_the_products_fault_and_leaves_evidence(place: Place) -> None:
    with pytest.raises(StageError, match="CrashLoopBackOff") as raised:
        place.deploy("crash", pin=place.player, seconds=600)

    assert raised.value.error_class == ErrorClass.PRODUCT
    assert "player: nothing to play" in raised.value.message
    target = place.directory / "evidence"
    files = evidence.collect(place.cluster, "crash", "dns", target)
    summary = files[0].read_text()
    assert files[0].name == "summary.txt"
    assert "CrashLoopBackOff" in summary
    assert "player: nothing to play" in summary
    assert "not collected" not in summary
    names = {str(path.relative_to(target)) for path in files}
    assert {"events.txt", "nodes.yaml", "helm-status.txt", "helm-values.yaml", "helm-manifest.yaml"} <= names
    assert {"objects/deployments.yaml", "objects/pods.yaml", "objects/secrets.yaml"} <= names
    assert "[redacted]" in (target / "objects/secrets.yaml").read_text()


def test_a_pod_that_never_becomes_ready_is_the_products_fault(place: Place) -> None:
    # The probe asks for a Corefile's plugin that listens; a cluster domain that is none keeps it from starting.
    chart = place.directory / "unready"
    shutil.copytree(helm.find_chart("coredns", Path.cwd()), chart)
    template = chart / "templates/deployment.yaml"
    template.write_text(template.read_text().replace("path: /ready", "path: /never"))

    with pytest.raises(StageError, match="NotReady") as raised:
        place.deploy("unready", dataclasses.replace(BUNDLED, chart=str(chart)), seconds=15)

    assert raised.value.error_class == ErrorClass.PRODUCT


def test_a_chart_that_does_not_render_says_where(place: Place) -> None:
    chart = place.directory / "broken"
    shutil.copytree(helm.find_chart("coredns", Path.cwd()), chart)
    template = chart / "templates/service.yaml"
    template.write_text(template.read_text() + "{{ .Values.no.such.value }}\n")

    with pytest.raises(StageError, match=r"templates/service.yaml:\d+") as raised:
        place.deploy("broken-chart", dataclasses.replace(BUNDLED, chart=str(chart)))

    assert raised.value.error_class == ErrorClass.CONFIGURATION


def test_somebody_elses_namespace_is_not_touched(place: Place) -> None:
    with pytest.raises(StageError, match="did not make it"):
        place.deploy("default")


def test_a_release_is_removed_with_its_objects_outside_of_the_namespace(place: Place) -> None:
    place.deploy("passing")
    api = Api(place.cluster.kubeconfig)
    assert api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/passing-dns")
    stage = place.site.stage("remove passing")

    helm.remove(place.cluster.kubeconfig, "passing", "dns", stage)
    helm.remove(place.cluster.kubeconfig, "passing", "dns", stage)  # what is not there is removed

    with pytest.raises(ApiError, match="not found"):
        api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/passing-dns")
    stage.wait_until(lambda: not _exists(api, "/api/v1/namespaces/passing"), "the namespace to go")


def _exists(api: Api, path: str) -> bool:
    try:
        return bool(api.get(path))
    except ApiError:
        return False
