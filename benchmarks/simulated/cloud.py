"""The simulated clouds as a plugin, and projects for them: a stage takes as long as a table says, and does nothing.

A rootdir gets them from a file of two lines in its ``clouds/``: see ``rootdir``, which writes it and the table.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_crosscloud import hookimpl
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import (
    Artifacts,
    Cloud,
    Cluster,
    E2EResult,
    ErrorClass,
    Node,
    Pin,
    Project,
    Ref,
    Release,
    TestCounts,
)

from .client import Client, CloudError

if TYPE_CHECKING:
    from pytest_crosscloud.model import BuildRequest, DeployRequest, E2ERequest, ProvisionRequest
    from pytest_crosscloud.stage import StageContext

#: Refs and what they are today.
_VERSIONS = {"stable": "v1.0.0", "head": "v1.1.0-rc1"}

_INFRASTRUCTURE, _PRODUCT = ErrorClass.INFRASTRUCTURE, ErrorClass.PRODUCT


@dataclass(frozen=True, kw_only=True)
class SimulatedCloud(Cloud):
    """One of the server's clouds, which has the same name there."""

    address: str

    @property
    def _client(self) -> Client:
        return Client(self.address)

    def preflight(self) -> list[str]:
        try:
            self._client.about(self.name)
        except CloudError as error:
            return [f"no simulated cloud answers at {self.address}: python -m benchmarks.simulated.server ({error})"]
        return []

    def capacity(self, clusters: int) -> list[str]:
        """Why ``clusters`` more do not fit."""
        facts = self._client.about(self.name)
        free = clusters if facts["quota"] is None else facts["quota"] - facts["clusters"]
        return [] if clusters <= free else [f"{clusters} clusters do not fit: {free} of {facts['quota']} are free"]

    def provision(self, request: ProvisionRequest) -> Cluster:
        try:
            cluster = self._client.create(self.name, request.name, request.tags)
            request.stage.write(f"created {cluster['id']}")
            request.stage.progress("waiting for the cluster to be ready")
            while cluster["state"] == "creating":
                request.stage.remaining()
                cluster = self._client.get(cluster["id"], "creating")
        except CloudError as error:
            raise StageError(f"{request.name}: {error}") from error
        if cluster["state"] != "ready":
            raise StageError(f"{request.name} is {cluster['state']}, and not ready")
        kubeconfig = request.directory / "kubeconfig"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(json.dumps({"address": self.address, "id": cluster["id"]}))
        return request.cluster(kubeconfig, self.address, [Node(request.name, "192.0.2.1", "control-plane")])

    def destroy(self, request: ProvisionRequest) -> None:
        # By its tag, for its id is known only to who lives to hear of it.
        self._delete({"crosscloud-cluster": request.name})

    def answers(self, cluster: Cluster) -> bool:
        try:
            _ask(cluster)
        except StageError:
            return False
        return True

    def owned(self, run: str) -> list[str]:
        return [cluster["name"] for cluster in self._client.list(self.name, {"crosscloud-run": run})]

    def runs(self) -> list[str]:
        tags = [cluster["tags"] for cluster in self._client.list(self.name, {})]
        return sorted({tag["crosscloud-run"] for tag in tags if "crosscloud-run" in tag})

    def sweep(self, run: str) -> None:
        self._delete({"crosscloud-run": run})

    def _delete(self, tags: Mapping[str, str]) -> None:
        try:
            found = [cluster["id"] for cluster in self._client.list(self.name, tags)]
            for id_ in found:
                self._client.delete(id_)
            for id_ in found:
                while not self._client.is_gone(id_):
                    pass
        except CloudError as error:
            raise StageError(str(error)) from error


class Plugin:
    """The hooks of one rootdir, by its table (``simulated.json``):

    ``address`` of the server, ``clouds`` and ``projects`` by name with what they are declared with, and ``stages``:
    by a stage's key (``e2e demo-stable-sim0``) or else its name (``e2e``) the seconds that it takes, or a program
    that it runs (``sleep 600``, ``false``). How long Provision takes is the server's affair. ``made``, if it is there,
    names a file that gets the key of each stage that is made: what was done, whatever the run's own records say.
    """

    def __init__(self, path: Path) -> None:
        table = json.loads(path.read_text())
        self._address: str = table["address"]
        self._clouds: dict[str, dict[str, Any]] = table["clouds"]
        self._projects: dict[str, dict[str, Any]] = table["projects"]
        self._stages: dict[str, float | str] = table["stages"]
        self._made: str = table.get("made", "")

    @hookimpl
    def crosscloud_clouds(self) -> list[Cloud]:
        return [
            SimulatedCloud(**_declared(name, values), address=self._address, display_name=f"{name} (simulated)")
            for name, values in self._clouds.items()
        ]

    @hookimpl
    def crosscloud_projects(self) -> list[Project]:
        return [
            Project(**_declared(name, values), build=_Build(), chart="none", display_name=f"{name} (simulated)")
            for name, values in self._projects.items()
        ]

    @hookimpl
    def crosscloud_build(self, request: BuildRequest) -> Artifacts | None:
        if request.project.name not in self._projects:
            return None
        self._take(request.stage, _PRODUCT)
        pin = Pin("SIMULATED", f"registry.test/{request.project.name}", request.ref.version, f"sha256:{0:064}")
        return Artifacts(request.project.name, request.ref, request.arch, (pin,))

    @hookimpl
    def crosscloud_deploy(self, request: DeployRequest) -> Release | None:
        if request.project.name not in self._projects:
            return None
        self._take(request.stage, _PRODUCT)
        _ask(request.cluster)
        return Release(request.release, request.namespace, "none", 1)

    @hookimpl
    def crosscloud_e2e(self, request: E2ERequest) -> E2EResult | None:
        if request.project.name not in self._projects:
            return None
        code = self._take(request.stage)
        _ask(request.cluster)
        red = int(code != 0)
        return E2EResult(code, TestCounts(1 - red, red), ("the program: it failed",) * red)

    def _take(self, stage: StageContext, error_class: ErrorClass | None = None) -> int:
        """Do the stage; the exit code of its program.

        :param error_class: of a program that fails; None: its exit code is what is asked for.
        """
        if self._made:
            with Path(self._made).open("a") as made:
                made.write(f"{stage.key}\n")
        how = self._stages.get(stage.key, self._stages.get(stage.key.split()[0], 0.0))
        if isinstance(how, str):
            return stage.command(
                how.split(), check=error_class is not None, error_class=error_class or _INFRASTRUCTURE
            ).code
        time.sleep(how)
        return 0


@dataclass(frozen=True)
class _Build:
    """Builds nothing: the hook above does."""

    def resolve(self, project: Project, ref: str) -> Ref:
        return Ref(ref, _VERSIONS.get(ref, ref))

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        return f"{project.name} {ref.version} {arch}"

    def build(self, request: BuildRequest) -> Artifacts:
        raise NotImplementedError


def _declared(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, **values, **({"arch": tuple(values["arch"])} if "arch" in values else {})}


def _ask(cluster: Cluster) -> None:
    """Ask the cluster whether it is there, as everything does that works on one.

    :raises StageError: it is not.
    """
    where = json.loads(Path(cluster.kubeconfig).read_text())
    try:
        state = Client(where["address"]).get(where["id"])["state"]
    except CloudError as error:
        raise StageError(f"{cluster.name} does not answer: {error}") from error
    if state != "ready":
        raise StageError(f"{cluster.name} is {state}")
