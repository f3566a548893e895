"""Terraform: runs it with its progress and diagnostics read as they come, and clouds that are a Terraform module."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import paths
from ..errors import ConfigurationError, DeadlineExceeded, StageError
from ..lock import held
from ..model import Cloud, Cluster, ErrorClass, Node, ProvisionRequest
from ..redact import redact
from ..stage import StageContext
from ..suggest import among
from . import backend
from .diagnoses import classed
from .module import Module

if TYPE_CHECKING:
    from .bootstrap import Bootstrap

VARIABLES_FILE = "terraform.tfvars.json"
STATE_FILE = "terraform.tfstate"

#: Beside the module, from the moment on when an apply may have made something.
_BEGUN = "apply-begun"

#: In the cluster's directory, from the moment on when all of the module was applied.
KUBECONFIG_FILE = "kubeconfig"

#: What Terraform says of a state that is locked, with the lock's id.
_LOCK = re.compile(r"Error acquiring the state lock.*?\bID:\s+(\S+)", re.DOTALL)


class Terraform:
    """One root module in a folder of its own, with its state beside it.

    python-terraform makes the command lines; running them is ours, because it knows no deadline and shows nothing
    before the end.
    """

    def __init__(self, directory: Path, stage: StageContext) -> None:
        from python_terraform import Terraform as CommandLines

        from ..toolchain.tools import tool

        self.directory = directory
        self.stage = stage
        self._program = tool("terraform", stage)
        self._lines = CommandLines(terraform_bin_path=str(self._program))

    def init(self) -> None:
        """Fetch modules and providers.

        :raises StageError: (class configuration) the module is not well-formed, or there is no such provider;
            (infrastructure) the providers' registry does not answer.
        """
        from python_terraform import IsFlagged

        from . import providers

        cache = providers.plugin_cache()
        cache.mkdir(parents=True, exist_ok=True)
        try:
            required = Module(self.directory).providers
        except ConfigurationError:  # Terraform says it with more words
            required = []
        # Terraform's plugin cache is not made for two processes that fill it at the same time.
        with held(cache / ".lock", self.stage, "another terraform init"):
            are_cached = providers.are_cached(required, self._program)
            self._run(
                "init",
                error_class=ErrorClass.CONFIGURATION,
                input=False,
                json=IsFlagged,
                env={"TF_PLUGIN_CACHE_DIR": "" if are_cached else str(cache)},
                **({"plugin_dir": str(cache)} if are_cached else {}),
            )

    def apply(self) -> None:
        """Make what the module says.

        :raises StageError: it could not be made, or not all of it; the message is Terraform's, with file and line.
        """
        from python_terraform import IsFlagged

        self._alone("apply", input=False, auto_approve=IsFlagged, json=IsFlagged)

    def destroy(self) -> None:
        """Remove what the state knows; nothing, if there is none.

        :raises StageError: something could not be removed.
        """
        from python_terraform import IsFlagged, IsNotFlagged

        # force: Terraform dropped the flag in 0.15, python-terraform's own destroy() still sends it.
        self._alone("destroy", force=IsNotFlagged, input=False, auto_approve=IsFlagged, json=IsFlagged)

    def output(self) -> dict[str, Any]:
        """All outputs by name, the sensitive ones too: so their text goes past the stage's log.

        :raises StageError: there is no readable state.
        """
        from python_terraform import IsFlagged

        argv = self._lines.generate_cmd_string("output", json=IsFlagged)
        completed = self.stage.command(argv, cwd=self.directory, log=False)
        # Terraform may warn about its own configuration before the JSON.
        _, brace, rest = completed.output.partition("{")
        return {name: output["value"] for name, output in json.loads(brace + rest).items()}

    def _alone(self, command: str, **options: Any) -> None:
        """Run it; if the state is locked, unlock it first.

        Whoever works on a cluster has its lease, and nobody else does: a lock is of a Terraform that was killed.
        """
        try:
            self._run(command, **options)
        except StageError as error:
            lock = _LOCK.search(error.message)
            if lock is None:
                raise
            self.stage.write(f"the state is locked by {lock[1]}, which has ended")
            program = str(self._lines.terraform_bin_path)
            self.stage.command([program, "force-unlock", "-force", lock[1]], cwd=self.directory)
            self._run(command, **options)

    def _run(
        self,
        command: str,
        *,
        error_class: ErrorClass = ErrorClass.INFRASTRUCTURE,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.stage.progress(f"terraform {command}")
        diagnostics: list[Diagnostic] = []

        def read(line: str) -> None:
            event = _event(line)
            if event.get("type") == "diagnostic" and event["diagnostic"]["severity"] == "error":
                diagnostics.append(Diagnostic.from_event(event["diagnostic"], self.directory))
            elif text := progress(event):
                self.stage.progress(f"terraform {command}: {text}")

        argv = self._lines.generate_cmd_string(command, **options)
        environment = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", **(env or {})}
        completed = self.stage.command(argv, cwd=self.directory, env=environment, on_line=read, check=False)
        if completed.code == 0:
            return
        raise classed(command, "\n".join(map(str, diagnostics)) or completed.tail, error_class)


@dataclass(frozen=True)
class Diagnostic:
    """An error of Terraform's, with its place in the module."""

    summary: str
    detail: str = ""
    file: str = ""
    line: int = 0

    @classmethod
    def from_event(cls, event: Mapping[str, Any], directory: Path) -> Diagnostic:
        """Read a ``diagnostic`` of Terraform's machine-readable UI; files are relative to ``directory``."""
        place = event.get("range")
        return cls(
            summary=event["summary"],
            detail=event.get("detail", ""),
            file=os.path.normpath(directory / place["filename"]) if place else "",
            line=place["start"]["line"] if place else 0,
        )

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file else ""
        return f"{place}{self.summary}" + (f": {self.detail}" if self.detail else "")


def progress(event: Mapping[str, Any]) -> str:
    """What an event of the machine-readable UI says to somebody who waits; empty if nothing."""
    hook = event.get("hook", {})
    address = hook.get("resource", {}).get("addr", "")
    match event.get("type"):
        case "apply_start":
            return f"{hook['action']} {address}"
        case "apply_progress":
            return f"{hook['action']} {address}, {hook['elapsed_seconds']:.0f} s"
        case "provision_progress":
            said = hook["output"].strip()
            # The command of a provisioner is for its log, not for somebody who waits.
            return "" if said.startswith("Executing: ") else f"{address}: {said}"
        case _:
            return ""


def _common(request: ProvisionRequest, bootstrap: Bootstrap) -> dict[str, Any]:
    """The variables that every root module takes, but for the bundle."""
    return {
        "name": request.name,
        "kubernetes_version": request.kubernetes.version,
        "workers": request.workers,
        "arch": request.arch,
        "tags": dict(request.tags),
        "registries": list(request.registries),
        "bootstrap": bootstrap.for_nodes(),
    }


def _variables(root: Path) -> dict[str, Any]:
    variables: dict[str, Any] = json.loads((root / VARIABLES_FILE).read_text())
    return variables


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:  # a warning about the CLI's configuration, or a line that redaction made something else
        return {}
    return event if isinstance(event, dict) else {}


@dataclass(frozen=True, kw_only=True)
class TerraformCloud(Cloud):
    """A cloud that is a Terraform module: data, unless it has a capability of its own to add.

    The module takes the variables and gives the outputs that ``terraform/README.md`` lists. It is copied into the
    cluster's directory, so that destroying works with the very code that applied, and it finds the shared modules
    there as ``../modules``.
    """

    module: Path | None = None  #: the root module's folder; default: ``terraform/<name>`` of the bundled data

    @property
    def source(self) -> Path:
        return self.module or paths.data("terraform", self.name)

    def module_variables(self, request: ProvisionRequest) -> dict[str, Any]:
        """What the module takes beside the variables that all modules take.

        :raises StageError: a value cannot be had.
        """
        return dict(request.variables)

    def variables_to_destroy(self, request: ProvisionRequest) -> dict[str, Any]:
        """As ``module_variables``, without what takes time: the nodes will boot nothing any more."""
        return self.module_variables(request)

    def remote_state(self, request: ProvisionRequest) -> str:
        """Where the state is kept, ``s3://bucket/prefix``; empty: beside the module."""
        return request.state

    def answers(self, cluster: Cluster) -> bool:
        from .cluster import answers

        return answers(cluster)

    def console_texts(self, request: ProvisionRequest) -> dict[str, str]:
        """The nodes' console output by node, as far as this cloud shows it (optional)."""
        return {}

    def console(self, request: ProvisionRequest, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        for node, text in self.console_texts(request).items():
            (target / f"console-{node}.log").write_text(redact(text))

    def provision(self, request: ProvisionRequest) -> Cluster:
        from . import cluster
        from .bootstrap import Bootstrap, write_secret

        root = self._prepared(request, request.directory)
        terraform = Terraform(root, request.stage)
        # Other secrets would be other user-data: Terraform would replace the nodes of an attempt before this one.
        known = (root / VARIABLES_FILE).exists()
        bootstrap = Bootstrap.resume(_variables(root)["bootstrap"]) if known else Bootstrap.create()
        variables = {**_common(request, bootstrap), **self.module_variables(request)}
        self._check_names(variables)
        write_secret(terraform.directory / VARIABLES_FILE, json.dumps(variables, indent=2))
        with self._named(request):
            terraform.init()
            (root / _BEGUN).touch()
            terraform.apply()
        outputs = terraform.output()
        kubeconfig = request.directory / KUBECONFIG_FILE
        write_secret(kubeconfig, outputs.get("kubeconfig") or bootstrap.kubeconfig(request.name, outputs["endpoint"]))
        nodes = [Node(node["name"], node["address"], node["role"]) for node in outputs["nodes"]]
        cluster.wait_ready(kubeconfig, len(nodes), request.stage, lambda: self.console_texts(request))
        return request.cluster(kubeconfig, outputs["endpoint"], nodes)

    def converges(self, request: ProvisionRequest) -> bool:
        """Another apply makes what the state lacks: a quota or an API stood in the way. Nodes that were all made, and
        did not become a cluster, would stay as they are."""
        return not (request.directory / KUBECONFIG_FILE).exists()

    def destroy(self, request: ProvisionRequest) -> None:
        remote = self.remote_state(request)
        if remote and not request.directory.exists():
            self._destroy_from_here(request)
            return
        root = self._root(request.directory)
        # Before an apply, or without a state, nothing was created; without variables all of it has been destroyed.
        created = (root / _BEGUN).exists() if remote else (root / STATE_FILE).exists()
        if created and (root / VARIABLES_FILE).exists():
            terraform = Terraform(root, request.stage)
            with self._named(request):
                terraform.init()  # also where one has been: it may have been killed half way
                terraform.destroy()
        for secret in (root / VARIABLES_FILE, request.directory / KUBECONFIG_FILE):
            secret.unlink(missing_ok=True)

    def _destroy_from_here(self, request: ProvisionRequest) -> None:
        """Destroy what another computer made: all that tells of it here is the state in the bucket."""
        from .bootstrap import Bootstrap, write_secret

        with tempfile.TemporaryDirectory(prefix="crosscloud-") as directory:
            root = self._prepared(request, Path(directory))
            # Terraform wants values for all variables; those of what goes do not matter.
            variables = {**_common(request, Bootstrap.create()), **self.variables_to_destroy(request)}
            write_secret(root / VARIABLES_FILE, json.dumps(variables))
            terraform = Terraform(root, request.stage)
            terraform.init()
            terraform.destroy()

    def _prepared(self, request: ProvisionRequest, directory: Path) -> Path:
        root = self.copy_module(directory)
        if address := self.remote_state(request):
            backend.write(root, address, request.name)
        return root

    def advice(self, error: StageError, variables: Mapping[str, Any]) -> str:
        """What to do about a failure of Terraform's, if this cloud knows it better than ``error.remedy`` (optional)."""
        return ""

    @contextmanager
    def _named(self, request: ProvisionRequest) -> Iterator[None]:
        """What fails within says whose cloud it was."""
        try:
            yield
        except DeadlineExceeded:
            raise
        except StageError as error:
            error.remedy = self.advice(error, request.variables) or error.remedy
            error.message = f"{self.title}: {error.message}"
            raise

    def _root(self, directory: Path) -> Path:
        return directory / "terraform" / self.source.name

    def copy_module(self, directory: Path) -> Path:
        """Copy the module, with the shared ones beside it, into a cluster's directory; return the root module."""
        root = self._root(directory)
        for source in (paths.data("terraform", "modules"), self.source):
            target = directory / "terraform" / source.name
            shutil.copytree(
                source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".terraform", "*.tfstate*")
            )
        return root

    def _check_names(self, variables: Mapping[str, Any]) -> None:
        text = "\n".join(path.read_text() for path in sorted(self.source.glob("*.tf")))
        known = set(re.findall(r'^variable\s+"(\w+)"', text, re.MULTILINE))
        for name in variables.keys() - known:
            raise StageError(
                f"cloud {self.name} has no variable {name!r}{among(name, sorted(known))}",
                error_class=ErrorClass.CONFIGURATION,
            )
