"""``terraform test`` of every module that needs a provider: the real provider, without an account.

It runs wherever the provider can be had (the plugin cache, a mirror, its registry), and is skipped with the reason
where it cannot. ``terraform validate`` is among the contract's tests, tests/clouds/test_contract.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_crosscloud import plugins
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.provision import providers
from pytest_crosscloud.provision.module import Module
from pytest_crosscloud.testing.render import variables
from pytest_crosscloud.toolchain.tools import tool
from tests.provision.schemas.modules import TERRAFORM, requirements, roots

TEST_FILE = "mocked.tftest.hcl"

#: Seconds for one command of Terraform's, a download of a provider included.
_COMMAND = 600.0

#: What a run takes from the environment.
GIVEN = {"packet": {"project_id": "a-project"}, "oci": {"compartment_id": "ocid1.compartment.oc1..a"}}

CLOUDS = plugins.load(Path(__file__).parent).clouds


@pytest.mark.parametrize("module", roots(), ids=lambda path: path.name)
def test_every_module_has_a_test_of_its_own(module: Path) -> None:
    text = (module / TEST_FILE).read_text()
    assert all(f'mock_provider "{provider}"' in text for provider in requirements(module))


@pytest.mark.parametrize("module", roots(), ids=lambda path: path.name)
def test_the_real_providers_plan_it(module: Path, tmp_path: Path) -> None:
    program = tool("terraform")
    host = providers.default_host(program)
    for provider in Module(module).providers:
        try:
            _ = providers.here(provider, host) or providers.ask(provider, host)
        except CrosscloudError as error:
            pytest.skip(f"{provider.source} cannot be had here: {error.message}")
    root = tmp_path / module.name
    shutil.copytree(module, root, ignore=shutil.ignore_patterns(".terraform*"))
    shutil.copytree(TERRAFORM / "modules", tmp_path / "modules")
    given = variables(**{**CLOUDS[module.name].variables, **GIVEN.get(module.name, {})})
    known = Module(module).variables
    (root / "terraform.tfvars.json").write_text(json.dumps({k: v for k, v in given.items() if k in known}))
    cache = providers.plugin_cache()
    cache.mkdir(parents=True, exist_ok=True)
    are_cached = providers.are_cached(Module(module).providers, program)
    init = ["init", "-backend=false", "-input=false", *([f"-plugin-dir={cache}"] if are_cached else [])]
    for command in (init, ["test"]):
        done = subprocess.run(
            [program, *command, "-no-color"],
            cwd=root,
            env={**os.environ, "TF_PLUGIN_CACHE_DIR": "" if are_cached else str(cache)},
            capture_output=True,
            text=True,
            timeout=_COMMAND,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
