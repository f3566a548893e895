"""Deploy and e2e on a real local cluster: what succeeds, and every way to fail."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clouds.local import LocalCloud
from projects import coredns
from pytest_crosscloud.build import registry
from pytest_crosscloud.build.go import GoProgram
from pytest_crosscloud.deploy import e2e, evidence, helm
from pytest_crosscloud.errors import DeadlineExceeded, StageError
from pytest_crosscloud.kube import Api, ApiError
from pytest_crosscloud.model import (
    E2E,
    Artifacts,
    BuildRequest,
    Cluster,
    DeployRequest,
    E2ERequest,
    E2EResult,
    ErrorClass,
    Pin,
    Project,
    ProvisionRequest,
    Ref,
    Release,
)
from pytest_crosscloud.stage import StageContext

pytestmark = pytest.mark.root

RUN = "e2edeploy"
PLAYER = GoProgram(directory=Path(__file__).parent / "player", image="tests/player")
BUNDLED = coredns.crosscloud_projects()[0]


@dataclasses.dataclass(frozen=True)
class Site:
    """The cluster and the registry that the tests of this file share, with the images that they run."""

    cluster: Cluster
    registry: str
    coredns: Artifacts
    player: Pin
    directory: Path

    def stage(self, name: str, seconds: float = 120) -> StageContext:
        return StageContext(name, RUN, self.directory / name.replace(" ", "-"), time.monotonic() + seconds)

    def deploy(
        self, namespace: str, project: Project = BUNDLED, *, pin: Pin | None = None, seconds: float = 120
    ) -> Release:
        artifacts = dataclasses.replace(self.coredns, pins=(pin,)) if pin else self.coredns
        stage = self.stage(f"deploy {namespace}", seconds)
        return helm.deploy(DeployRequest(project, artifacts, self.cluster, namespace, "dns", stage))

    def run(self, release: Release, project: Project = BUNDLED, *, pin: Pin | None = None, name: str = "") -> E2EResult:
        artifacts = dataclasses.replace(self.coredns, e2e=pin) if pin else self.coredns
        stage = self.stage(f"e2e {name or release.namespace}")
        return e2e.run(E2ERequest(project, artifacts, self.cluster, release, self.registry, stage))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("deploy")
    stage = StageContext("provision local", RUN, directory / "provision", time.monotonic() + 1800)
    spec: dict[str, object] = {}
    cloud = LocalCloud(name="local")
    try:
        host = registry.start(RUN, directory, spec.update).host
        request = ProvisionRequest(
            cloud=cloud,
            name=f"xc-{RUN}",
            kubernetes=Ref("stable", "v1.36.3"),
            arch="amd64",
            workers=0,
            variables={},
            directory=directory / "cluster",
            tags={"crosscloud-run": RUN},
            registries=(host,),
            stage=stage,
        )
        request.directory.mkdir(mode=0o700)
        ref = BUNDLED.build.resolve(BUNDLED, "stable")
        artifacts = BUNDLED.build.build(BuildRequest(BUNDLED, ref, "amd64", host, stage))
        checks = BUNDLED.e2e
        assert checks and isinstance(checks.build, GoProgram)
        checker, _ = checks.build.publish(stage, host, "amd64", "E2E")
        player, _ = PLAYER.publish(stage, host, "amd64", "PLAYER")
        try:
            cluster = cloud.provision(request)
            yield Site(cluster, host, dataclasses.replace(artifacts, e2e=checker), player, directory)
        finally:
            cloud.destroy(request)
    finally:
        registry.release(spec)


@pytest.fixture(scope="module")
def release(site: Site) -> Release:
    """CoreDNS as it should be: what the e2e containers of the tests run beside."""
    return site.deploy("green")


@pytest.fixture
def play(site: Site, release: Release) -> Callable[..., E2EResult]:
    """Run the player beside the release."""

    def play_(what: str, timeout: float = 60) -> E2EResult:
        project = dataclasses.replace(BUNDLED, e2e=E2E(build=PLAYER, env={"PLAY": what}, timeout=timeout))
        return site.run(release, project, pin=site.player, name=what)

    return play_


def test_coredns_is_installed_with_its_pin_and_passes_its_checks(site: Site, release: Release) -> None:
    result = site.run(release)

    assert result.exit_code == 0, Path(result.log).read_text()
    assert result.counts
    assert (result.counts.failed, result.counts.passed > 5) == (0, True)
    (pod,) = Api(site.cluster.kubeconfig).get(
        "/api/v1/namespaces/green/pods", labelSelector="app.kubernetes.io/name=coredns"
    )["items"]
    assert pod["spec"]["containers"][0]["image"] == site.coredns.pins[0].reference
    namespace = Api(site.cluster.kubeconfig).get("/api/v1/namespaces/green")
    assert namespace["metadata"]["labels"]["crosscloud-run"] == RUN


def test_the_container_knows_its_release_and_has_no_token(play: Callable[..., E2EResult]) -> None:
    result = play("environment")

    assert Path(result.log).read_text() == f"NAMESPACE green\nRELEASE dns\nRESULTS /results\nRUN {RUN}\n"


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


def test_a_container_that_hangs_is_ended_and_its_log_kept(site: Site, play: Callable[..., E2EResult]) -> None:
    with pytest.raises(DeadlineExceeded, match="did not end within 3 s") as raised:
        play("hang", timeout=3)

    assert raised.value.error_class == ErrorClass.PRODUCT
    log = site.directory / "e2e-hang" / "e2e-container.log"
    assert log.read_text() == "waiting for something that never comes\n"


def test_a_flood_fills_no_disk_and_loses_no_result(site: Site, play: Callable[..., E2EResult]) -> None:
    result = play("flood")

    log = Path(result.log)
    assert log.stat().st_size < 6 << 20
    assert "left out" in log.read_text()
    assert result.counts
    assert result.counts.failed == 1
    assert "large.bin left out" in (site.directory / "e2e-flood" / "e2e.log").read_text()


def test_an_image_that_is_not_there_fails_at_once(site: Site) -> None:
    missing = dataclasses.replace(site.coredns.pins[0], digest="sha256:" + "0" * 64)
    started = time.monotonic()

    with pytest.raises(StageError, match=f"image {missing.reference} cannot be pulled") as raised:
        site.deploy("no-image", pin=missing, seconds=600)

    assert raised.value.error_class == ErrorClass.INFRASTRUCTURE
    assert time.monotonic() - started < 300  # not Helm's whole time


def test_an_e2e_image_that_is_not_there_is_not_the_products_fault(site: Site, release: Release) -> None:
    missing = dataclasses.replace(site.player, digest="sha256:" + "0" * 64)

    with pytest.raises(StageError, match="cannot be pulled") as raised:
        site.run(release, pin=missing, name="no image")

    assert raised.value.error_class == ErrorClass.INFRASTRUCTURE


def test_a_crash_loop_is_the_products_fault_and_leaves_evidence(site: Site) -> None:
    with pytest.raises(StageError, match="CrashLoopBackOff") as raised:
        site.deploy("crash", pin=site.player, seconds=600)

    assert raised.value.error_class == ErrorClass.PRODUCT
    assert "player: nothing to play" in raised.value.message
    target = site.directory / "evidence"
    files = evidence.collect(site.cluster, "crash", "dns", target)
    summary = files[0].read_text()
    assert files[0].name == "summary.txt"
    assert "CrashLoopBackOff" in summary
    assert "player: nothing to play" in summary
    assert "not collected" not in summary
    names = {str(path.relative_to(target)) for path in files}
    assert {"events.txt", "nodes.yaml", "helm-status.txt", "helm-values.yaml", "helm-manifest.yaml"} <= names
    assert {"objects/deployments.yaml", "objects/pods.yaml", "objects/secrets.yaml"} <= names
    assert "[redacted]" in (target / "objects/secrets.yaml").read_text()


def test_a_pod_that_never_becomes_ready_is_the_products_fault(site: Site) -> None:
    # The probe asks for a Corefile's plugin that listens; a cluster domain that is none keeps it from starting.
    chart = site.directory / "unready"
    shutil.copytree(helm.find_chart("coredns", Path.cwd()), chart)
    template = chart / "templates/deployment.yaml"
    template.write_text(template.read_text().replace("path: /ready", "path: /never"))

    with pytest.raises(StageError, match="NotReady") as raised:
        site.deploy("unready", dataclasses.replace(BUNDLED, chart=str(chart)), seconds=15)

    assert raised.value.error_class == ErrorClass.PRODUCT


def test_a_chart_that_does_not_render_says_where(site: Site) -> None:
    chart = site.directory / "broken"
    shutil.copytree(helm.find_chart("coredns", Path.cwd()), chart)
    template = chart / "templates/service.yaml"
    template.write_text(template.read_text() + "{{ .Values.no.such.value }}\n")

    with pytest.raises(StageError, match=r"templates/service.yaml:\d+") as raised:
        site.deploy("broken-chart", dataclasses.replace(BUNDLED, chart=str(chart)))

    assert raised.value.error_class == ErrorClass.CONFIGURATION


def test_somebody_elses_namespace_is_not_touched(site: Site) -> None:
    with pytest.raises(StageError, match="did not make it"):
        site.deploy("default")


def test_a_release_is_removed_with_its_objects_outside_of_the_namespace(site: Site) -> None:
    site.deploy("passing")
    api = Api(site.cluster.kubeconfig)
    assert api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/passing-dns")
    stage = site.stage("remove passing")

    helm.remove(site.cluster.kubeconfig, "passing", "dns", stage)
    helm.remove(site.cluster.kubeconfig, "passing", "dns", stage)  # what is not there is removed

    with pytest.raises(ApiError, match="not found"):
        api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/passing-dns")
    stage.wait_until(lambda: not _exists(api, "/api/v1/namespaces/passing"), "the namespace to go")


def _exists(api: Api, path: str) -> bool:
    try:
        return bool(api.get(path))
    except ApiError:
        return False
