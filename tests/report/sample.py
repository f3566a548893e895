"""A realistic run for the report tests: seven projects, stable and head, eight clouds, everything that can happen."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from pytest_crosscloud.model import (
    Artifacts,
    BuildTarget,
    Cell,
    Cluster,
    ClusterTarget,
    E2EResult,
    ErrorClass,
    Failure,
    Node,
    Pin,
    Ref,
    Release,
    StageName,
    StageResult,
    Status,
    TestCounts,
    stage_key,
)
from pytest_crosscloud.run.summary import CloudInfo, ProjectInfo, RunSummary

STARTED = 1_795_305_600.0  # 2026-11-22 00:00:00 UTC

CLOUDS = {
    "aws": "AWS",
    "azure": "Azure",
    "gce": "GCE",
    "ibm": "IBM Cloud",
    "packet": "Bare Metal (Packet)",
    "openstack": "OpenStack",
    "vsphere": "VMware vSphere",
    "oci": "Oracle Cloud Infrastructure",
}

#: name: display name, sub title, relation, stable, head's commit
PROJECTS = {
    "kubernetes": ("Kubernetes", "Orchestration", "Graduated", "v1.36.3", "27fca55"),
    "prometheus": ("Prometheus", "Monitoring", "Graduated", "v3.9.1", "56cda56"),
    "coredns": ("CoreDNS", "Service Discovery", "Graduated", "v1.14.7", "95c9e14"),
    "fluentd": ("Fluentd", "Logging", "Graduated", "v1.19.1", "c037e41"),
    "linkerd": ("Linkerd", "Service Mesh", "Graduated", "edge-26.11.2", "68b200b"),
    "envoy": ("Envoy", "Service Mesh", "Graduated", "v1.38.0", "0ebe247"),
    "onap": ("ONAP", "Network Automation", "Linux Foundation", "v1.1.1", "9a3841e"),
}

KUBERNETES = {
    "stable": Ref(
        "stable", "v1.36.3", "7a41c4ba81d6b5c6e8e2f0cf12d0ac4a0e1a1f55", "https://example.org/kubernetes/v1.36.3"
    ),
    "head": Ref("head", "v1.37.0-alpha.1", "27fca5587b1cb1a9bd2b1c9e54aa8d90e3c6d0b1"),
}

BUILD_FAILURE = Failure(
    ErrorClass.PRODUCT,
    "go build exited with 1: storage/client.go:217:14: undefined: labels.FromSlice\nnote: module requires Go 1.27",
    "see the build's log",
)
CLUSTER_FAILURE = Failure(
    ErrorClass.INFRASTRUCTURE,
    "terraform apply exited with 1: no capacity: c3.small.x86 is not available in ewr1",
    "try another facility: variables.facility of cloud packet in cross-cloud.yml",
)
E2E_FAILURE = Failure(
    ErrorClass.PRODUCT,
    "2 of 9 checks failed: reverse lookup of 10.96.0.10: NXDOMAIN; metrics endpoint: connection refused",
    "the e2e container's log has every query that it sent",
)
DEPLOY_FAILURE = Failure(
    ErrorClass.CONFIGURATION,
    "helm upgrade exited with 1: values don't meet the chart's schema: replicas: got string, want integer",
    "charts/fluentd/values.yaml, or projects.fluentd.values of cross-cloud.yml",
)


def sample(kubernetes: tuple[str, ...] = ("stable",), arch: tuple[str, ...] = ("amd64",)) -> RunSummary:
    """All projects on all clouds. Prometheus head does not compile, Packet has no capacity, CoreDNS head fails its
    e2e on Azure, Fluentd stable does not install on OpenStack, Linkerd head was cancelled on OCI, and ONAP runs."""
    builder = _Builder(kubernetes, arch)
    for cell in builder.cells:
        builder.run(cell)
    return RunSummary(
        id="7f3a",
        started=STARTED,
        finished=None,
        command="pytest -n auto --clouds=aws,azure,gce,ibm,packet,openstack,vsphere,oci",
        projects=tuple(
            ProjectInfo(
                name=name,
                display_name=display,
                sub_title=sub_title,
                project_url=f"https://{name}.example.org",
                repository_url=f"https://git.example.org/{name}",
                cncf_relation=relation,
            )
            for name, (display, sub_title, relation, _, _) in PROJECTS.items()
        ),
        clouds=tuple(CloudInfo(name, display) for name, display in CLOUDS.items()),
        cells=tuple(builder.cells),
        refs=builder.refs,
        kubernetes={name: KUBERNETES[name] for name in kubernetes},
        results=builder.results,
    )


def finished(summary: RunSummary) -> RunSummary:
    """The same run once it is over, with nothing running."""
    ended = {
        key: replace(result, status=Status.SUCCESS, seconds=44.0) if result.status == Status.RUNNING else result
        for key, result in summary.results.items()
    }
    return replace(summary, finished=STARTED + 1234.5, results=ended)


def one_cell(**changes: StageResult) -> RunSummary:
    """CoreDNS stable on one cloud, all green but for ``changes`` by stage name."""
    cell = Cell(
        BuildTarget("coredns", "stable", "amd64", "coredns-stable"),
        ClusterTarget("local", "stable", "amd64", "local"),
        "coredns-stable-local",
    )
    builder = _Builder(("stable",), ("amd64",))
    builder.refs[cell.build.id] = Ref("stable", "v1.14.7")
    builder.run(cell)
    results = builder.results | {stage_key(result.stage, result.target): result for result in changes.values()}
    return RunSummary(
        id="7f3a",
        started=STARTED,
        finished=STARTED + 61.0,
        command="pytest --clouds=local --projects=coredns",
        projects=(ProjectInfo("coredns", "CoreDNS", "Service Discovery"),),
        clouds=(CloudInfo("local", "Local"),),
        cells=(cell,),
        refs=builder.refs,
        kubernetes={"stable": KUBERNETES["stable"]},
        results=results,
    )


def write_files(summary: RunSummary, out: Path) -> None:
    """The logs and the evidence that the run's stages point to."""
    for result in summary.results.values():
        if result.log:
            log = out / result.log
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(f"{result.key}: {result.detail}\n")
            if result.stage == StageName.BUILD and result.data:
                (log.parent / "release.env").write_text(Artifacts.from_json(result.data).release_env())
            if result.stage == StageName.E2E and result.status == Status.FAILED:
                (log.parent / "pods").mkdir(exist_ok=True)
                (log.parent / "pods" / "coredns-7d9f.log").write_text("plugin/errors: 2 NXDOMAIN\n")
                (log.parent / "events.txt").write_text("Warning  Unhealthy  readiness probe failed\n")


class _Builder:
    def __init__(self, kubernetes: tuple[str, ...], arch: tuple[str, ...]) -> None:
        self.refs: dict[str, Ref] = {}
        self.results: dict[str, StageResult] = {}
        self.cells: list[Cell] = []
        for name, (_, _, _, stable, head) in PROJECTS.items():
            for ref in ("stable", "head"):
                for machine in arch:
                    build = BuildTarget(name, ref, machine, _id(name, ref, machine if len(arch) > 1 else ""))
                    commit = head if ref == "head" else hashlib.sha1(stable.encode()).hexdigest()
                    self.refs[build.id] = Ref(
                        name=ref,
                        version=stable if ref == "stable" else head,
                        commit=commit.ljust(40, "0"),
                        url=f"https://git.example.org/{name}/commit/{commit}",
                        note="git unreachable: newest tag that the module proxy serves"
                        if (name, ref) == ("coredns", "head")
                        else "",
                    )
                    for version in kubernetes:
                        suffix = version if len(kubernetes) > 1 else ""
                        for cloud in CLOUDS:
                            cluster_id = _id(cloud, suffix, machine if len(arch) > 1 else "")
                            cluster = ClusterTarget(cloud, version, machine, cluster_id)
                            self.cells.append(Cell(build, cluster, f"{_id(name, ref)}-{cluster_id}"))

    def run(self, cell: Cell) -> None:
        build, cluster = stage_key("build", cell.build.id), stage_key("provision", cell.cluster.id)
        self.results.setdefault(build, self._build(cell))
        self.results.setdefault(cluster, self._provision(cell))
        upstream = next((key for key in (build, cluster) if self.results[key].status == Status.FAILED), "")
        for result in self._upstream(cell, upstream) if upstream else self._own(cell):
            self.results[result.key] = result

    def _build(self, cell: Cell) -> StageResult:
        target, log = cell.build, f"builds/{cell.build.id}/build.log"
        if (target.project, target.ref) == ("prometheus", "head"):
            return StageResult("build", target.id, Status.FAILED, STARTED + 2, 41.2, failure=BUILD_FAILURE, log=log)
        digest = "sha256:" + hashlib.sha256(target.id.encode()).hexdigest()
        host, name = "198.18.0.1:5000", target.project
        pin = Pin(name.upper(), f"{host}/{name}/{name}", self.refs[target.id].version, digest)
        e2e = Pin(f"{name.upper()}_E2E", f"{host}/{name}/e2e", "1", "sha256:" + hashlib.sha256(b"e2e").hexdigest())
        artifacts = Artifacts(name, self.refs[target.id], target.arch, (pin,), e2e, cached=target.ref == "stable")
        return StageResult(
            "build",
            target.id,
            Status.SUCCESS,
            STARTED + 1,
            0.3 if artifacts.cached else 96.4,
            detail=f"{name}@{digest[:19]}…",
            cached=artifacts.cached,
            log=log,
            data=artifacts.to_json(),
        )

    def _provision(self, cell: Cell) -> StageResult:
        target, log = cell.cluster, f"clusters/{cell.cluster.id}/provision.log"
        if target.cloud == "packet":
            return StageResult(
                "provision", target.id, Status.FAILED, STARTED + 3, 187.0, failure=CLUSTER_FAILURE, log=log
            )
        cluster = Cluster(
            name=f"cc-7f3a-{target.id}",
            cloud=target.cloud,
            kubernetes=KUBERNETES[target.kubernetes],
            arch=target.arch,
            kubeconfig=f"/var/lib/crosscloud/{target.id}/kubeconfig",
            endpoint="https://198.19.0.10:6443",
            nodes=(Node("control-plane", "198.19.0.10", "control-plane"), Node("worker-1", "198.19.0.11", "worker")),
        )
        seconds = 180.0 + len(target.cloud) * 7
        return StageResult(
            "provision", target.id, Status.SUCCESS, STARTED + 3, seconds, "2 nodes", log=log, data=cluster.to_json()
        )

    def _upstream(self, cell: Cell, upstream: str) -> list[StageResult]:
        return [
            StageResult(stage, cell.id, Status.NA, detail=f"{upstream} failed", upstream=upstream)
            for stage in ("deploy", "e2e")
        ]

    def _own(self, cell: Cell) -> list[StageResult]:
        log, start = f"cells/{cell.id}/", STARTED + 260
        release = Release(f"{cell.build.project}-{cell.build.ref}", f"cc-{cell.id}", cell.build.project, 1)
        deploy = StageResult(
            "deploy", cell.id, Status.SUCCESS, start, 14.2, log=log + "deploy.log", data=release.to_json()
        )
        checks = E2EResult(0, TestCounts(9, 0, 0), log=log + "e2e-container.log", junit=log + "junit.xml")
        e2e = StageResult(
            "e2e", cell.id, Status.SUCCESS, start + 15, 6.8, "9 checks", log=log + "e2e.log", data=checks.to_json()
        )
        match cell.build.project, cell.build.ref, cell.cluster.cloud:
            case "coredns", "head", "azure":
                failed = replace(
                    checks,
                    exit_code=1,
                    counts=TestCounts(7, 2, 0),
                    failures=("reverse lookup of 10.96.0.10: NXDOMAIN", "metrics endpoint: connection refused"),
                )
                e2e = replace(e2e, status=Status.FAILED, detail="", failure=E2E_FAILURE, data=failed.to_json())
            case "fluentd", "stable", "openstack":
                deploy = replace(deploy, status=Status.FAILED, failure=DEPLOY_FAILURE, data={})
                e2e = self._upstream(cell, deploy.key)[1]
            case "linkerd", "head", "oci":
                deploy = replace(deploy, status=Status.CANCELLED, detail="interrupted", data={})
                e2e = StageResult("e2e", cell.id, Status.CANCELLED)
            case "onap", _, "vsphere" | "oci":
                e2e = replace(e2e, status=Status.RUNNING, seconds=0.0, detail="waiting for the e2e Job", data={})
        return [deploy, e2e]


def _id(*parts: str) -> str:
    return "-".join(part for part in parts if part)
