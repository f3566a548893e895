"""What is in the bundle of a failed cell, what is not, and what is said of that."""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pytest_crosscloud.build.images import Layout
from pytest_crosscloud.model import Artifacts, Pin, StageName, Status
from pytest_crosscloud.repro import bundle, pack

from .conftest import SECRETS, TEMPLATE, Failed

SCHEMA: dict[str, Any] = json.loads(bundle.SCHEMA.read_text())
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "results.md"


def test_all_that_repeats_the_cell_is_in_it(failed: Failed) -> None:
    failed.leave("cells/demo-head-aws/evidence/summary.txt", "the pod crashed")
    failed.leave("cells/demo-head-aws/e2e.log", "the log")
    failed.leave("clusters/aws/provision.log", "terraform")
    found = failed.pack()
    assert found["cell"]["id"] == "demo-head-aws"
    assert (found["cell"]["workers"], found["cell"]["kubernetes"]["version"]) == (2, "v1.36.3")
    assert found["chart"] == {"reference": "demo", "name": "demo", "version": "0.2.0", "path": "chart/demo"}
    assert (found["release"], found["deploy_timeout"], found["e2e"]["timeout"]) == ("demo-head", 77, 42)
    assert found["failure"]["checks"] == ["reverse lookup: no PTR record"]
    folder = bundle.unpack(found)
    assert (folder / "evidence/summary.txt").read_text() == "the pod crashed"
    assert (folder / "logs/cells/demo-head-aws/e2e.log").read_text() == "the log"
    assert (folder / "logs/clusters/aws/provision.log").read_text() == "terraform"
    for pin in found.pins:
        layout = Layout(folder / pin.layout)
        assert layout.manifest.digest == pin.pin.digest
        assert layout.intact()
    values = yaml.safe_load((folder / "values.yaml").read_text())
    assert (values["replicas"], values["version"]) == (2, "1e3")
    assert values["image"]["digest"] == found.pins[0].pin.digest
    assert found["left_out"] == []


def test_it_satisfies_its_schema(failed: Failed) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(failed.pack().document)
    build = replace(failed.results[StageName.BUILD], status=Status.FAILED, data={}, failure=None)
    failure = failed.results[StageName.E2E].failure
    failed.results = {StageName.BUILD: replace(build, failure=failure)}
    document = failed.pack().document
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert (document["pins"], document["failure"]["stage"]) == ([], "build")


def test_every_field_is_documented() -> None:
    text = re.split(r"^## ", DOCUMENTATION.read_text(), flags=re.MULTILINE)
    body = next(part for part in text if part.startswith("bundle.tar.gz\n"))
    rows = re.findall(r"^\| `([^`]+)`", body, flags=re.MULTILINE)
    assert [row for row in rows if row in SCHEMA["properties"]] == list(SCHEMA["properties"])
    inner = [field for part in SCHEMA["properties"].values() for field in part.get("properties", ())]
    assert [field for field in inner if f"`{field}`" not in body] == []


def test_no_secret_is_in_it(failed: Failed) -> None:
    said = "\n".join((*SECRETS[:2], "password: values-secret-values-secret", "-----BEGIN PRIVATE KEY-----\nMIIE"))
    failed.leave("cells/demo-head-aws/e2e.log", said)
    failed.leave("cells/demo-head-aws/evidence/logs/pod.log", said)
    failed.leave("cells/demo-head-aws/results/core", b"\0" + said.encode())
    failed.run.store.set_record(
        failed.run.id,
        {**failed.run.store.run(failed.run.id).record, "command": f"pytest {SECRETS[0]}"},  # type: ignore[union-attr]
    )
    found = failed.pack()
    folder = bundle.unpack(found)
    texts = {path: path.read_bytes() for path in (*folder.rglob("*"), found.path) if path.is_file()}
    texts[Path(bundle.DOCUMENT)] = json.dumps(found.document).encode()
    for secret in (*SECRETS, "PRIVATE KEY"):
        assert not [path for path, text in texts.items() if secret.encode() in text], secret
    assert found["redacted"] == [
        "values.yaml: admin.password",
        "values.yaml: env[1].value",
        "chart: templates/all.yaml",
        "e2e.env: ADMIN_PASSWORD",
    ]
    assert found["e2e"]["env"]["RECORDS"] == "a=b"
    assert found["left_out"] == ["logs/cells/demo-head-aws/results/core: it is no text"]
    chart = (folder / "chart/demo/templates/all.yaml").read_text()
    assert chart == TEMPLATE.replace(SECRETS[0], "[redacted]")


def test_only_named_variables_of_the_environment_are_in_it(failed: Failed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "https://me:hunter2hunter2@proxy.test")
    monkeypatch.setenv("SOMETHING", "private")
    variables = failed.pack()["environment"]["variables"]
    assert variables["GOPROXY"] == "https://me:[redacted]@proxy.test"
    assert "SOMETHING" not in variables


def test_images_of_other_registries_are_references(failed: Failed) -> None:
    pin = Pin("DEMO", "docker.io/library/demo", "v1", "sha256:" + "1" * 64)
    artifacts = Artifacts("demo", failed.run.refs["demo-head"], "amd64", (pin,))
    failed.results[StageName.BUILD] = replace(failed.results[StageName.BUILD], data=artifacts.to_json())
    (found,) = failed.pack().pins
    assert (found.layout, found.pin) == ("", pin)


def test_what_is_too_large_is_left_out_and_said(failed: Failed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "IMAGES_LIMIT", 1000)
    monkeypatch.setattr(bundle, "FILES_LIMIT", 4000)
    monkeypatch.setattr(pack, "_HEAD", 1000)
    monkeypatch.setattr(pack, "_TAIL", 500)
    failed.leave("cells/demo-head-aws/e2e.log", "".join(f"line {number}\n" for number in range(1000)))
    failed.leave("clusters/aws/a.log", "x" * 1400)
    failed.leave("clusters/aws/b.log", "y" * 1400)
    found = failed.pack()
    assert [re.sub(r"\d+ bytes in the middle of \d+", "MIDDLE", what) for what in found["left_out"]] == [
        found["left_out"][0],
        found["left_out"][1],
        "logs/cells/demo-head-aws/e2e.log: MIDDLE",
        "logs/clusters/aws/b.log: 1400 bytes; logs and evidence have 0 MiB",
    ]
    assert found["left_out"][0].startswith("images/demo: ")
    with tarfile.open(found.path) as tar:
        log = tar.extractfile("logs/cells/demo-head-aws/e2e.log")
        assert log
        text = log.read().decode()
    assert text.startswith("line 0\n")
    assert text.endswith("line 999\n")
    assert "left out" in text
    assert all(re.fullmatch(r"line \d+|\[.*\]|", line) for line in text.splitlines()), "no line is torn"
    assert "images/demo" in (failed.out / "cells/demo-head-aws/bundle.log").read_text()


def test_a_registry_and_a_chart_that_are_gone_are_no_error(failed: Failed) -> None:
    failed.run.settings = replace(failed.run.settings, registry="127.0.0.1:1")
    (failed.root / "charts/demo/Chart.yaml").unlink()
    found = failed.pack()
    assert [what.partition(": ")[0] for what in found["left_out"]] == ["images/demo", "images/demo_e2e", "the chart"]
    assert (found["chart"]["path"], found["chart"]["version"]) == ("", "0.2.0")


def test_a_packed_chart_is_unpacked(failed: Failed) -> None:
    charts = failed.root / "charts"
    with tarfile.open(charts / "demo.tgz", "w:gz") as tar:
        tar.add(charts / "demo", "demo")
    project = replace(failed.run.config.projects["demo"], chart="charts/demo.tgz")
    failed.run.config = replace(failed.run.config, projects={"demo": project})
    found = failed.pack()
    assert found["chart"]["path"] == "chart/demo"
    assert "chart/demo/templates/all.yaml" in found["files"]


def test_a_bundle_that_cannot_be_written_hides_nothing(failed: Failed, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "write", full)
    assert pack.pack(failed.run, failed.cell, failed.results, "demo-head") is None
    log = failed.out / "cells/demo-head-aws/bundle.log"
    assert "could not be written: OSError: [Errno 28] No space left" in log.read_text()
    assert not list(failed.run.directory.glob("bundle-*"))
