"""The nouns of a run: clouds, projects, cells, pins and results. Imports nothing of the package.

Everything here is frozen and can cross a process boundary: what a worker makes, another reads back from the
store as JSON (``to_json`` and ``from_json``).
"""

from __future__ import annotations

import dataclasses
import enum
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from .stage import StageContext


class Status(enum.StrEnum):
    """What became of a stage; the words of cncf.ci."""

    SUCCESS = "success"
    FAILED = "failed"
    RUNNING = "running"
    NA = "n/a"  # something upstream failed or is out of reach, so this never ran
    CANCELLED = "cancelled"


class StageName(enum.StrEnum):
    """The four stages of a cell, in the order in which they happen."""

    BUILD = "build"
    PROVISION = "provision"
    DEPLOY = "deploy"
    E2E = "e2e"


class ErrorClass(enum.StrEnum):
    """Whose fault a failure is: a badge must not turn red for the product when a cloud had no capacity."""

    PRODUCT = "product"
    INFRASTRUCTURE = "infrastructure"
    CONFIGURATION = "configuration"


class Json:
    """Mixin: a frozen dataclass of JSON-able fields that can be written and read back."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote. Unknown keys are a TypeError: writer and reader are the same version."""
        return cls(**data)


@dataclass(frozen=True)
class Ref(Json):
    """A project's version: what was asked for, and what that turned out to be when the run started."""

    name: str  #: as asked: ``stable``, ``head`` or a literal tag, branch or sha
    version: str  #: what it resolved to, as a person would say it: ``v1.14.7``
    commit: str = ""  #: full sha, where it is known
    url: str = ""  #: page of the commit or tag
    note: str = ""  #: what a reader must know, e.g. "git unreachable: newest tag that the module proxy serves"
    #: of a project of several parts (``build.parts``): the other parts' versions, by name
    parts: Mapping[str, Ref] = field(default_factory=dict, hash=False)

    @property
    def remark(self) -> str:
        """What stands beside the version: the versions of other parts, and the note."""
        parts = ", ".join(f"{name} {part.version}" for name, part in self.parts.items())
        return "; ".join(filter(None, (parts and f"with {parts}", self.note)))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        parts = data.get("parts", {})  # bundles are older than it
        return cls(**{**data, "parts": {name: cls.from_json(part) for name, part in parts.items()}})


@dataclass(frozen=True)
class Pin(Json):
    """One built image: repository, tag and digest."""

    name: str  #: prefix of its variables in release.env, e.g. ``COREDNS``
    image: str  #: repository with its registry, e.g. ``198.18.0.1:5000/coredns/coredns``
    tag: str
    digest: str  #: ``sha256:…`` of the manifest in the registry

    @property
    def reference(self) -> str:
        """What a container runtime pulls: by digest, so that nothing else can be what was tested."""
        return f"{self.image}@{self.digest}"


@dataclass(frozen=True)
class Artifacts(Json):
    """All pins of one project at one ref: what Build hands to Deploy."""

    project: str
    ref: Ref
    arch: str
    pins: tuple[Pin, ...]
    e2e: Pin | None = None  #: the project's e2e container, if it has one
    cached: bool = False  #: nothing was built: an unchanged input had been built before

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        values = dict(data)
        values["ref"] = Ref.from_json(values["ref"])
        values["pins"] = tuple(Pin.from_json(pin) for pin in values["pins"])
        values["e2e"] = Pin.from_json(values["e2e"]) if values["e2e"] else None
        return cls(**values)

    def release_env(self) -> str:
        """The ``release.env`` of this build: ``COREDNS_IMAGE``, ``COREDNS_TAG`` and ``COREDNS_DIGEST`` per pin."""
        pins = (*self.pins, *((self.e2e,) if self.e2e else ()))
        lines = (
            f"{pin.name}_{key}={value}\n"
            for pin in pins
            for key, value in (("IMAGE", pin.image), ("TAG", pin.tag), ("DIGEST", pin.digest))
        )
        return "".join(lines)


@dataclass(frozen=True)
class Node(Json):
    """One node of a cluster: a VM, a bare-metal server or a local machine."""

    name: str
    address: str
    role: str  #: ``control-plane`` or ``worker``


@dataclass(frozen=True)
class Cluster(Json):
    """A provisioned Kubernetes."""

    name: str  #: unique beyond the run: it carries the run's id
    cloud: str
    kubernetes: Ref
    arch: str
    kubeconfig: str  #: path of a file with mode 0600; its content is never shown
    endpoint: str = ""
    nodes: tuple[Node, ...] = ()
    cached: bool = False  #: nothing was provisioned: an earlier run's cluster was taken over

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        values = dict(data)
        values["kubernetes"] = Ref.from_json(values["kubernetes"])
        values["nodes"] = tuple(Node.from_json(node) for node in values["nodes"])
        return cls(**values)


@dataclass(frozen=True)
class Release(Json):
    """A Helm release in its own namespace."""

    name: str
    namespace: str
    chart: str
    revision: int


@dataclass(frozen=True)
class Upgraded:
    """A release that was changed while it was used."""

    release: Release
    availability: str  #: how it answered meanwhile, in a line


@dataclass(frozen=True)
class TestCounts(Json):
    """What the e2e container's JUnit file counted."""

    __test__ = False  # pytest: not a test class

    passed: int = 0
    failed: int = 0
    skipped: int = 0


#: What the stage e2e says of a project that has no e2e container: to be installed was its test.
NO_E2E = "no e2e container: installed and ready"


@dataclass(frozen=True)
class E2EResult(Json):
    """How the project's e2e container ended. ``exit_code`` decides; the rest explains."""

    exit_code: int
    counts: TestCounts | None = None  #: None: it wrote no JUnit file
    failures: tuple[str, ...] = ()  #: "name: message" of each failed check
    log: str = ""  #: path of the container's log
    junit: str = ""  #: path of its JUnit file, empty if it wrote none
    detail: str = ""  #: the outcome in one line, where there are no counts that say it

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        values = dict(data)
        values["counts"] = TestCounts.from_json(values["counts"]) if values["counts"] else None
        values["failures"] = tuple(values["failures"])
        return cls(**values)


# -- the matrix ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BuildTarget:
    """What one Build makes: a project at a ref for an arch. ``id`` is its name in test ids and paths."""

    project: str
    ref: str
    arch: str
    id: str


@dataclass(frozen=True)
class ClusterTarget:
    """What one Provision makes: a cloud's cluster with a Kubernetes ref and an arch."""

    cloud: str
    kubernetes: str
    arch: str
    id: str
    made_of: str = ""  #: id of the build whose Kubernetes it gets; empty: Provision finds that by itself


@dataclass(frozen=True)
class Cell:
    """One point of the matrix: a build that is deployed on a cluster."""

    build: BuildTarget
    cluster: ClusterTarget
    id: str


#: The stage of an Upgrade; not one of a cell's.
UPGRADE = "upgrade"


@dataclass(frozen=True)
class Upgrade:
    """A release that is taken from one build to another and back, on one cluster."""

    before: BuildTarget
    after: BuildTarget
    cluster: ClusterTarget
    id: str


# -- what plugins declare -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class BuildRequest:
    """What a build strategy is given."""

    project: Project
    ref: Ref
    arch: str  #: ``amd64`` or ``arm64``, as Go, OCI and the Terraform modules spell it
    registry: str  #: ``host:port`` (or host) to push to
    stage: StageContext


@dataclass(frozen=True)
class ProvisionRequest:
    """What a cloud is given to make, and later to destroy, one cluster."""

    cloud: Cloud
    name: str  #: the cluster's name; unique, carries the run's id, valid as a DNS label
    kubernetes: Ref
    arch: str
    workers: int  #: nodes beside the control plane; with 0 the control plane takes pods
    variables: Mapping[str, Any]  #: the user's Terraform variables for this cloud, over the plugin's
    directory: Path  #: the cluster's own: state, kubeconfig, certificates; outlives pytest, mode 0700
    tags: Mapping[str, str]  #: run, cluster, expiry (epoch seconds); on every resource that can carry them
    registries: tuple[str, ...]  #: plain-HTTP registries that the nodes may pull from
    stage: StageContext
    state: str = ""  #: where a Terraform cloud keeps its state, ``s3://bucket/prefix``; empty: in ``directory``

    def cluster(self, kubeconfig: Path, endpoint: str, nodes: Iterable[Node]) -> Cluster:
        """The cluster that was asked for, now that it is there."""
        return Cluster(
            name=self.name,
            cloud=self.cloud.name,
            kubernetes=self.kubernetes,
            arch=self.arch,
            kubeconfig=str(kubeconfig),
            endpoint=endpoint,
            nodes=tuple(nodes),
        )


@dataclass(frozen=True)
class DeployRequest:
    """What Deploy is given: the project's pins and a cluster."""

    project: Project
    artifacts: Artifacts
    cluster: Cluster
    namespace: str
    release: str  #: name of the Helm release
    stage: StageContext
    rootdir: Path = field(default_factory=Path.cwd)  #: pytest's: where relative charts are looked for


@dataclass(frozen=True, kw_only=True)
class UpgradeRequest(DeployRequest):
    """What is given to change a release that is used: ``artifacts`` are the new pins."""

    replaces: Release  #: as it is now
    registry: str  #: where the framework's own helper images are pushed, as in BuildRequest


@dataclass(frozen=True)
class E2ERequest:
    """What the e2e runner is given: a release on a cluster."""

    project: Project
    artifacts: Artifacts
    cluster: Cluster
    release: Release
    registry: str  #: where the framework's own helper images are pushed, as in BuildRequest
    stage: StageContext
    env: Mapping[str, str] = field(default_factory=dict)  #: what its container is told beside the project's own


class BuildStrategy(Protocol):
    """How a project's images come to be. Bundled: ``build.go``, ``dockerfile``, ``upstream``, ``wheel``, ``debian``."""

    def resolve(self, project: Project, ref: str) -> Ref:
        """Find out what ``ref`` is today.

        :raises StageError: (class configuration) no such ref; (class infrastructure) cannot be asked.
        """

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        """A hash of every input: an unchanged input is not built again."""

    def build(self, request: BuildRequest) -> Artifacts:
        """Make the images and push them.

        :raises StageError: it does not compile (class product), or could not be tried (class infrastructure).
        """


@dataclass(frozen=True)
class Credential:
    """An environment variable that a cloud needs. Checked before anything starts; its value is never shown."""

    name: str
    help: str  #: what it is and where to get it
    required: bool = True
    secret: bool = True  #: False: a region or an account's name, which logs may show
    is_file: bool = False  #: its value is the path of a file, which has to be there


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A place that gives a Kubernetes cluster.

    Required of a subclass: ``provision`` and ``destroy``. The other methods are optional capabilities.
    A cloud that is a Terraform module needs no subclass of its own: see ``provision.terraform.TerraformCloud``.
    """

    name: str  #: what ``--clouds`` takes
    display_name: str = ""  #: column header; default: the name
    order: int = 100
    active: bool = True
    arch: tuple[str, ...] = ("amd64",)
    credentials: tuple[Credential, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)  #: defaults, below cross-cloud.yml's
    is_default: bool = False  #: needs no account: projects that are named without a cloud are tried here
    is_elsewhere: bool = False  #: its nodes do not reach the run's registry: images must be in one that they do
    timeout: float | None = None  #: seconds for a provision, below cross-cloud.yml; None: as most clouds need
    billing: str = ""  #: what a cluster is paid for as long as it is there, in a few words; empty: nothing
    provides_cluster: bool = True  #: False: the cluster is somebody else's (``existing``), nothing is destroyed
    settles: float = 0.0  #: seconds after which what was asked for is there, if nobody lived to hear the answer

    @property
    def title(self) -> str:
        return self.display_name or self.name

    def provision(self, request: ProvisionRequest) -> Cluster:
        """Make the cluster and wait until its API answers and its nodes are Ready.

        :raises StageError: class infrastructure, unless the configuration is to blame.
        """
        raise NotImplementedError(f"cloud {self.name} does not say how to provision")

    def destroy(self, request: ProvisionRequest) -> None:
        """Remove all that ``provision`` made. Must work after a ``provision`` that failed or died half way,
        and when called a second time."""
        raise NotImplementedError(f"cloud {self.name} does not say how to destroy")

    def converges(self, request: ProvisionRequest) -> bool:
        """Whether ``provision``, called again after it failed, completes what is there already (optional).

        Otherwise a provision that failed is destroyed before it is tried again.
        """
        return False

    @property
    def takes_node_bundle(self) -> bool:
        """Whether its nodes are made of the node bundle that this computer has: a Kubernetes that is built here."""
        return False

    def preflight(self) -> list[str]:
        """What is missing to use this cloud here, each with its remedy; empty if nothing is.

        Here: the required credentials, and the files that credentials name. A subclass adds to it.
        """
        lines = [f"{found.name} is not set: {found.help}" for found in self.unset()]
        for found in self.credentials:
            value = os.environ.get(found.name)
            if found.is_file and value and not Path(value).expanduser().is_file():
                lines.append(f"{found.name} names a file that is not there: {found.help}")
        return lines

    def unset(self) -> list[Credential]:
        """The required credentials that the environment has not. A cloud that takes others in their place says so."""
        return [found for found in self.credentials if found.required and not os.environ.get(found.name)]

    def capacity(self, clusters: int) -> list[str]:
        """What this cloud lacks to have ``clusters`` clusters at the same time, a line each (optional).

        A line says what is needed and what is there, with units: ``memory: 9216 MiB needed, 6204 MiB available``,
        ``vCPUs of eu-central-1: 48 needed, 32 left of the quota of 64``. Each cluster has a control plane and
        ``self.variables["workers"]`` workers (0 if it is not there). Asked once per cloud and run, after ``preflight``
        and before anything is made; what lacks ends the run with exit code 4.
        """
        return []

    @property
    def knows_room(self) -> bool:
        """Whether ``capacity`` is an answer. By default it is none: a quota that is too small shows when it is met."""
        return not self.provides_cluster or type(self).capacity is not Cloud.capacity

    def console(self, request: ProvisionRequest, target: Path) -> None:
        """Write the nodes' console output into the directory ``target`` as evidence (optional)."""

    def answers(self, cluster: Cluster) -> bool:
        """Whether a cluster that an earlier run left can still be used (optional). ``--resume`` and
        ``--reuse-clusters`` ask before they do."""
        return True

    def owned(self, run: str) -> list[str]:
        """Names of the resources on this cloud that carry the run's tag, also without local state (optional)."""
        return []

    @property
    def lists_owned(self) -> bool:
        """Whether ``owned`` is an answer. By default it is none: nobody has asked the cloud."""
        return type(self).owned is not Cloud.owned

    def runs(self) -> list[str]:
        """Ids of the runs that have anything on this cloud, by their tags (optional): ``clean --all`` asks."""
        return []

    @property
    def lists_runs(self) -> bool:
        """Whether ``runs`` is an answer, as ``lists_owned`` is of ``owned``."""
        return type(self).runs is not Cloud.runs

    def sweep(self, run: str) -> None:
        """Destroy what ``owned`` names (optional). ``crosscloud clean --run`` asks for it, after ``destroy``."""


@dataclass(frozen=True, kw_only=True)
class E2E:
    """A project's e2e container and how it is run."""

    build: BuildStrategy  #: names the image too; its first pin is the container
    env: Mapping[str, str] = field(default_factory=dict)
    service_account: str = ""  #: of the project's chart, whose token the container gets; empty: it gets none
    timeout: float = 300.0  #: seconds that the container may take, unless cross-cloud.yml has ``timeouts.e2e``


#: A ``stable_ref`` that every run finds out for itself.
AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Project:
    """Software under test."""

    name: str  #: what ``--projects`` takes
    build: BuildStrategy
    chart: str  #: name of a folder in charts/, a path, or an oci:// or https:// reference
    display_name: str = ""
    sub_title: str = ""  #: at most 21 characters, as on cncf.ci
    order: int = 100
    active: bool = True
    project_url: str = ""
    repository_url: str = ""
    logo_url: str = ""
    cncf_relation: str = ""
    stable_ref: str = ""  #: tag that ``stable`` means; empty or ``auto``: the newest release, found out by each run
    head_ref: str = ""  #: branch or tag that ``head`` means; empty: the newest served
    #: regular expression of release tags, whose groups are numbers and the first counts most; empty: semantic versions
    release_tags: str = ""
    arch: tuple[str, ...] = ("amd64",)
    values: Mapping[str, Any] = field(default_factory=dict)  #: Helm values below the pins
    timeout: float = 900.0  #: seconds for the deploy, below ``timeouts.deploy`` and the project's of cross-cloud.yml
    is_kubernetes: bool = False  #: clusters are made of its builds: it is tested on those of its own ref
    e2e: E2E | None = None
    #: environment variables that choose what of it is tested, such as which specs: recorded with a run. No secrets
    chosen_by: tuple[str, ...] = ()
    upgrade_gap: float = 2.0  #: seconds that a Service may answer nobody while the release is upgraded

    def __post_init__(self) -> None:
        # One word for it from here on: build strategies of others know the empty one.
        if self.stable_ref == AUTO:
            object.__setattr__(self, "stable_ref", "")

    @property
    def title(self) -> str:
        return self.display_name or self.name


# -- results ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure(Json):
    """Why a stage failed, for a person."""

    error_class: str  #: an ErrorClass
    message: str  #: first line says what; the rest explains
    remedy: str = ""


@dataclass(frozen=True)
class StageResult(Json):
    """One row of the result store: a stage of a target, running or ended."""

    stage: str  #: a StageName
    target: str  #: id of the BuildTarget, ClusterTarget or Cell
    status: str  #: a Status
    started: float | None = None  #: seconds since the epoch; None: never ran
    seconds: float = 0.0
    detail: str = ""  #: one line for the terminal: progress while running, the outcome afterwards
    cached: bool = False
    failure: Failure | None = None  #: of an n/a: what it wanted from elsewhere is out of reach
    upstream: str = ""  #: of an n/a: key of the stage before it that ended so, e.g. ``build coredns-head``
    log: str = ""  #: path below reports/out/
    attempts: int = 1  #: how often it was tried, this one included
    flaky: bool = False  #: of a success: an attempt before it failed by the product's fault (``--flaky-reruns``)
    resumed_from: str = ""  #: id of the run that made it, if this run went on with that one
    data: Mapping[str, Any] = field(default_factory=dict)  #: the stage's product as JSON (Artifacts, Cluster, …)

    @property
    def key(self) -> str:
        return stage_key(self.stage, self.target)

    @property
    def is_out_of_reach(self) -> bool:
        """Whether it never ran for want of something that is not to be had from here: ``errors.OutOfReach``."""
        return self.status == Status.NA and self.failure is not None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        values = dict(data)
        values["failure"] = Failure.from_json(values["failure"]) if values["failure"] else None
        return cls(**values)


class TestOutcome(enum.StrEnum):
    """What became of a test, in pytest's words."""

    __test__ = False  # pytest: not a test class

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    ERROR = "error"  # it could not be set up or torn down, or its worker died


@dataclass(frozen=True)
class TestResult(Json):
    """What became of one test of a run."""

    __test__ = False  # pytest: not a test class

    nodeid: str
    outcome: str  #: a TestOutcome
    seconds: float  #: of the call, without fixtures
    ended: float  #: seconds since the epoch
    message: str = ""  #: why it is no success: the first lines, without secrets
    bundled: bool = False  #: of the bundled suite: its stages say the same, and more
    resumed_from: str = ""  #: id of the run that ran it, if this run went on with that one


def stage_key(stage: str, target: str) -> str:
    """The name of a stage everywhere: in the store, in messages and in the scheduler: ``build coredns-head``."""
    return f"{stage} {target}"
