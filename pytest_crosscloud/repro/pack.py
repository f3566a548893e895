"""Packs a failed cell: what was installed, on what, and how it failed; without secrets, and within limits."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..build.distribution import ImageTooLarge, Repository, is_inside
from ..errors import CrosscloudError
from ..model import Artifacts, Cell, Cluster, E2EResult, Pin, Release, StageName, StageResult, Status
from ..redact import add_kubeconfig, mask, redact
from ..report.results import timestamp
from ..run.summary import ProjectInfo
from ..stage import StageContext
from . import bundle

if TYPE_CHECKING:
    from ..run.context import Run

#: Seconds for all of it.
_DEADLINE = 180.0

#: Bytes of a file's beginning and of its end that are kept.
_HEAD = _TAIL = 1 << 20

#: Files of a chart; more is a folder that was meant for something else.
_CHART_FILES = 2_000

#: Environment variables that change what a build or a run does. Others are nobody's business.
_ENVIRONMENT = (
    *(
        "CI",
        "CROSSCLOUD_MIRROR",
        "CROSSCLOUD_PINS",
        "GITHUB_REPOSITORY",
        "GITHUB_RUN_ID",
        "GITHUB_SHA",
        "LANG",
        "LC_ALL",
    ),
    *("GOAMD64", "GOARM64", "GOEXPERIMENT", "GOFLAGS", "GOPROXY", "GOTOOLCHAIN", "TZ"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)

#: A template's action, which is no value and must stay as it is; or what stands between two of them.
_TEMPLATE = re.compile(r"\{\{.*?\}\}|(?:(?!\{\{).)+", re.DOTALL)


def pack(run: Run, cell: Cell, results: Mapping[StageName, StageResult], release: str) -> Path | None:
    """Write the bundle of a failed cell into the cell's folder.

    Whatever goes wrong is said in the folder's bundle.log; what could not be had, or has no place, in the bundle too.

    :param results: of the cell's four stages, as far as there are any.
    :param release: name of its Helm release, also if that was not installed.
    :return: the bundle; None if it could not be written.
    """
    directory = run.out / "cells" / cell.id
    stage = StageContext(f"bundle {cell.id}", run.id, directory, time.monotonic() + _DEADLINE)
    target = directory / bundle.FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bundle-", dir=run.directory) as folder:
            _Packing(run, cell, results, release, stage, Path(folder)).make()
            bundle.write(Path(folder), target)
    except Exception as error:  # it must not hide what failed
        with suppress(OSError):  # the disk is full, as likely as not
            stage.write(f"the bundle could not be written: {type(error).__name__}: {error}")
        return None
    return target


class _Packing:
    def __init__(
        self,
        run: Run,
        cell: Cell,
        results: Mapping[StageName, StageResult],
        release: str,
        stage: StageContext,
        folder: Path,
    ) -> None:
        self._run, self._cell, self._results, self._release = run, cell, results, release
        self._stage, self._folder = stage, folder
        self._project = run.config.projects[cell.build.project]
        self._cloud = run.config.clouds[cell.cluster.cloud]
        self._left_out: list[str] = []
        self._redacted: list[str] = []
        self._room = bundle.FILES_LIMIT
        build, provision = (results.get(name) for name in (StageName.BUILD, StageName.PROVISION))
        self._artifacts = Artifacts.from_json(build.data) if build and build.data else None
        self._cluster = Cluster.from_json(provision.data) if provision and provision.data else None

    def make(self) -> None:
        if self._cluster:
            add_kubeconfig(self._cluster.kubeconfig)  # another process may have made it
        self._add_values()
        document = {
            "version": bundle.VERSION,
            "crosscloud": metadata.version("pytest-crosscloud"),
            "run": self._run_(),
            "project": asdict(ProjectInfo.of(self._project)),
            "cell": self._cell_(),
            "pins": self._pins(),
            "chart": self._chart(),
            "release": self._release,
            "deploy_timeout": self._project.timeout,
            "e2e": self._e2e(),
            "failure": self._failure(),
            "environment": self._environment(),
        }
        self._add_logs()
        files = {
            path.relative_to(self._folder).as_posix(): bundle.sha256(path)
            for path in sorted(self._folder.rglob("*"))
            if path.is_file()
        }
        document |= {"redacted": self._redacted, "left_out": self._left_out, "files": files}
        (self._folder / bundle.DOCUMENT).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        for what in self._left_out:
            self._stage.write(f"not in the bundle: {what}")

    # -- bundle.json ------------------------------------------------------------------------------------------

    def _run_(self) -> dict[str, Any]:
        record = self._run.store.run(self._run.id)
        assert record
        return {
            "id": record.id,
            "started": timestamp(record.started),
            "command": redact(str(record.record["command"])),
        }

    def _cell_(self) -> dict[str, Any]:
        cell = self._cell
        return {
            "id": cell.id,
            "build": cell.build.id,
            "cluster": cell.cluster.id,
            "ref": self._run.refs[cell.build.id].to_json(),
            "cloud": cell.cluster.cloud,
            "kubernetes": self._run.kubernetes[cell.cluster.kubernetes].to_json(),
            "arch": cell.build.arch,
            "workers": int(self._cloud.variables.get("workers", 0)),
            "variables": self._masked(
                "variables", {key: value for key, value in self._cloud.variables.items() if key != "workers"}
            ),
        }

    def _pins(self) -> list[dict[str, Any]]:
        # What clusters are made of is not pushed anywhere to be repeated: a version of Kubernetes is built again.
        if self._artifacts is None or self._project.is_kubernetes:
            return []
        purposes = [(pin, "project") for pin in self._artifacts.pins]
        if self._artifacts.e2e:
            purposes.append((self._artifacts.e2e, "e2e"))
        left = bundle.IMAGES_LIMIT
        pins = []
        for pin, purpose in purposes:
            layout = self._add_image(pin, left)
            left -= sum(path.stat().st_size for path in (self._folder / layout).rglob("*")) if layout else 0
            pins.append({**asdict(pin), "reference": pin.reference, "purpose": purpose, "layout": layout})
        return pins

    def _add_image(self, pin: Pin, limit: int) -> str:
        """Take the image along if its registry is of this computer, and maybe of this run: it is gone afterwards."""
        repository = Repository.parse(pin.image)
        if not is_inside(repository.host):
            return ""
        # Registries of runs share their storage, also with that of an earlier run which is gone.
        here = Repository.at(self._run.settings.registry, repository.name)
        layout = f"images/{pin.name.lower()}"
        try:
            here.pull(pin.digest, self._folder / layout, self._stage, limit=limit)
        except ImageTooLarge as error:
            self._left_out.append(f"{layout}: {error}, and all images have {bundle.IMAGES_LIMIT >> 20} MiB")
        except CrosscloudError as error:
            self._left_out.append(f"{layout}: {error}")
        else:
            return layout
        shutil.rmtree(self._folder / layout, ignore_errors=True)
        return ""

    def _e2e(self) -> dict[str, Any] | None:
        e2e = self._project.e2e
        if e2e is None:
            return None
        account = {"service_account": e2e.service_account} if e2e.service_account else {}
        return {"env": self._masked("e2e.env", e2e.env), "timeout": e2e.timeout, **account}

    def _failure(self) -> dict[str, Any]:
        failed = next(result for result in self._in_order() if result.status == Status.FAILED)
        checks = E2EResult.from_json(failed.data).failures if failed.stage == StageName.E2E and failed.data else ()
        failure = failed.failure
        return {
            "stage": failed.stage,
            "target": failed.target,
            "class": failure.error_class if failure else "",
            "message": redact(failure.message) if failure else "",
            "remedy": redact(failure.remedy) if failure else "",
            "checks": [redact(check) for check in checks],
        }

    def _in_order(self) -> Iterator[StageResult]:
        yield from (self._results[name] for name in StageName if name in self._results)

    @staticmethod
    def _environment() -> dict[str, Any]:
        found = {
            name: redact(f"{name}={os.environ[name]}").partition("=")[2] for name in _ENVIRONMENT if name in os.environ
        }
        return {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "variables": found,
        }

    # -- what is installed ------------------------------------------------------------------------------------

    def _add_values(self) -> None:
        from ..deploy import helm

        given = helm.values(self._project, self._artifacts) if self._artifacts else self._project.values
        text = yaml.safe_dump(self._masked("values.yaml", given), sort_keys=False, allow_unicode=True, width=120)
        (self._folder / "values.yaml").write_text(text, encoding="utf-8")

    def _masked(self, name: str, value: Mapping[str, Any]) -> Any:
        """As JSON has it, which is what Helm and Kubernetes get; without secrets."""
        masked, places = mask(json.loads(json.dumps(value, default=str)))
        self._redacted += [f"{name}: {place}" for place in places]
        return masked

    def _chart(self) -> dict[str, str]:
        """What is known of the chart; ``path`` is its folder in the bundle, empty if it is not there."""
        chart = {"reference": self._project.chart, "name": "", "version": "", "path": ""}
        if (deployed := self._results.get(StageName.DEPLOY)) and deployed.data:
            name, _, version = Release.from_json(deployed.data).chart.rpartition("-")
            chart |= {"name": name, "version": version}
        try:
            with tempfile.TemporaryDirectory(prefix="chart-", dir=self._run.directory) as folder:
                source = self._find_chart(chart["version"], Path(folder))
                chart["path"] = f"chart/{source.name}"
                self._add_chart(source, self._folder / chart["path"])
        except (CrosscloudError, OSError, tarfile.TarError) as error:
            self._left_out.append(f"the chart: {error}")
            shutil.rmtree(self._folder / "chart", ignore_errors=True)
            return chart | {"path": ""}
        with suppress(OSError, yaml.YAMLError, LookupError, TypeError):  # a broken one is taken along as it is
            about = yaml.safe_load((self._folder / chart["path"] / "Chart.yaml").read_text())
            chart |= {key: str(about[key]) for key in ("name", "version")}
        return chart

    def _find_chart(self, version: str, folder: Path) -> Path:
        """The folder of the project's chart; one that is packed, or elsewhere, is put below ``folder``."""
        from ..deploy import helm

        found = helm.find_chart(self._project.chart, Path(self._run.settings.rootdir))
        if "://" in found:
            from ..toolchain.tools import tool

            pinned = ["--version", version] if version and not found.endswith(".tgz") else []
            command = [str(tool("helm", self._stage)), "pull", found, "--untar", "--untardir", str(folder), *pinned]
            self._stage.command(command)
        elif Path(found).is_file():
            with tarfile.open(found) as tar:
                tar.extractall(folder, filter="data")
        else:
            return Path(found)
        for path in sorted(folder.glob("*/Chart.yaml")):
            return path.parent
        raise CrosscloudError(f"there is no Chart.yaml in {found}")

    def _add_chart(self, source: Path, target: Path) -> None:
        number = 0
        for where, _, names in os.walk(source, followlinks=True):  # as Helm reads it
            for path in (Path(where, name) for name in names):
                number += 1
                if number > _CHART_FILES:
                    raise CrosscloudError(f"{source} has more than {_CHART_FILES} files")
                if path.stat().st_size > self._room:
                    raise CrosscloudError(f"{source} has more than {bundle.FILES_LIMIT >> 20} MiB")
                name = path.relative_to(source)
                content = path.read_bytes()
                try:
                    text = content.decode()
                except UnicodeDecodeError:
                    pass  # an archive or an image, which no redaction would leave usable
                else:
                    redacted = _TEMPLATE.sub(lambda part: redact(part.group()), text)
                    if redacted != text:
                        self._redacted.append(f"chart: {name.as_posix()}")
                    content = redacted.encode()
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (target / name).write_bytes(content)
                self._room -= len(content)

    # -- how it failed ----------------------------------------------------------------------------------------

    def _add_logs(self) -> None:
        """Evidence, and whatever else its stages left in their folders."""
        cell, out = self._cell, self._run.out
        folders = (f"cells/{cell.id}", f"clusters/{cell.cluster.id}", f"builds/{cell.build.id}")
        for folder in folders:
            for path in sorted((out / folder).rglob("*")):
                if path.is_file() and path != self._stage.log:
                    name = path.relative_to(out / folder)
                    evidence = name.parts[0] == "evidence"
                    self._add_text(path, name.as_posix() if evidence else f"logs/{folder}/{name.as_posix()}")

    def _add_text(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(_HEAD + _TAIL)
            end = b""
            if size > len(content):
                content = content[:_HEAD].rpartition(b"\n")[0]
                file.seek(-_TAIL, os.SEEK_END)
                end = file.read().partition(b"\n")[2]
        if b"\0" in content:
            self._left_out.append(f"{name}: it is no text")
            return
        text = redact(content.decode(errors="replace"))
        if end:
            said = f"{size - len(content) - len(end)} bytes in the middle of {size}"
            text += f"\n[pytest-crosscloud left out {said}]\n{redact(end.decode(errors='replace'))}"
            self._left_out.append(f"{name}: {said}")
        if len(text.encode()) > self._room:
            self._left_out.append(f"{name}: {size} bytes; logs and evidence have {bundle.FILES_LIMIT >> 20} MiB")
            return
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        self._room -= len(text.encode())
