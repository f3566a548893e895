"""Notary's database is made by a script of the chart: it can be restarted, keeps its password, outlives an upgrade."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_crosscloud import paths
from pytest_crosscloud.toolchain.tools import tool

SECRET = "q8Zr2"

# Each writes down how it was called, and what it was told by its input.
STUB = """#!/bin/sh
echo "$0 $*" >> "$CALLS"
[ "${0##*/}" = "${FAILS-}" ] && exit 3
case "${0##*/} $*" in
initdb*) mkdir "$PGDATA" && touch "$PGDATA/PG_VERSION" && cp /dev/null "$PGDATA/pg_hba.conf" ;;
*--file=*) ;;
psql*) cat >> "$STATEMENTS" ;;
esac
"""


def render(*options: str) -> list[dict[str, Any]]:
    argv = [str(tool("helm")), "template", "notary", str(paths.data("charts", "notary")), *options]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    return [found for found in yaml.safe_load_all(done.stdout) if found]


class Container:
    """Where the script runs: with its paths in a folder, and programs that only say how they were called."""

    def __init__(self, directory: Path) -> None:
        self.calls, self.statements = directory / "calls", directory / "statements"
        self.data, self.password = directory / "data", directory / "tmp/password"
        programs = directory / "postgresql/15/bin"
        programs.mkdir(parents=True)
        self.password.parent.mkdir()
        for name in ("initdb", "pg_ctl", "psql"):
            (programs / name).write_text(STUB)
            (programs / name).chmod(0o755)
        for part in ("server", "signer"):
            (directory / "migrations" / part).mkdir(parents=True)
            (directory / "migrations" / part / "1.up.sql").touch()
        (config,) = [found for found in render("--show-only=templates/configmap.yaml") if found["kind"] == "ConfigMap"]
        places = {"/usr/lib/postgresql": "postgresql", "/migrations": "migrations", "/tmp": "tmp"}
        self.script = re.sub(
            "|".join(places), lambda path: f"{directory}/{places[path.group()]}", config["data"]["prepare"]
        )

    def run(self, fails: str = "") -> int:
        """Its exit code, if one of the programs fails."""
        env = {"PATH": os.environ["PATH"], "PGDATA": str(self.data), "PASSWORD": SECRET, "FAILS": fails}
        env |= {"CALLS": str(self.calls), "STATEMENTS": str(self.statements)}
        self.calls.write_text("")
        self.statements.write_text("")
        shell = shutil.which("dash") or "sh"
        done = subprocess.run([shell, "-c", self.script], env=env, capture_output=True, text=True, check=False)
        return done.returncode


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def test_the_database_is_made_once(container: Container) -> None:
    assert container.run() == 0
    assert container.calls.read_text().count("--file=") == 2
    assert container.run() == 0
    assert container.calls.read_text() == ""


@pytest.mark.parametrize("program", ["initdb", "pg_ctl", "psql"])
def test_after_a_failure_it_is_made_anew(container: Container, program: str) -> None:
    assert container.run(fails=program) == 3
    assert not container.password.exists()
    assert container.run() == 0
    assert container.statements.read_text().count("CREATE USER") == 2


def test_its_password_is_in_no_programs_arguments_and_in_no_file_that_stays(container: Container) -> None:
    assert container.run() == 0
    statements = container.statements.read_text().splitlines()
    assert f"CREATE USER signer PASSWORD '{SECRET}';" in statements
    assert "CREATE DATABASE notarysigner OWNER signer;" in statements
    assert SECRET not in container.calls.read_text()
    assert "log_min_error_statement=panic" in container.calls.read_text()
    assert not container.password.exists()


def test_another_version_of_the_server_leaves_the_databases_pod_as_it_is(tmp_path: Path) -> None:
    templates = []
    for tag in ("v0.7.0", "v0.7.1"):
        values = {"images": {"notary_server": {"tag": tag}}}
        (tmp_path / "values.json").write_text(json.dumps(values))
        found = {
            each["metadata"]["name"]: each
            for each in render("--values", str(tmp_path / "values.json"))
            if each["kind"] == "Deployment"
        }
        templates.append((found["notary-database"]["spec"], found["notary"]["spec"]))
    (database, server), (database_after, server_after) = templates
    assert database == database_after
    assert server != server_after
