"""The contract of a cloud plugin, as a class of tests: subclass it, say which cloud, and pytest does the rest."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from .. import machine
from ..errors import CrosscloudError
from ..model import Cloud, ProvisionRequest, Ref
from ..provision import providers
from ..provision.module import Module
from ..provision.terraform import TerraformCloud
from ..stage import StageContext
from ..toolchain.tools import tool
from . import boot, checks
from .render import render, variables

#: Seconds for one command of crosscloud's; doctor waits for half a minute at most, plan for a quarter.
_COMMAND = 120.0

#: Seconds for a real provider to be fetched and to look at a module.
_VALIDATE = 900.0


class CloudContract:
    """What every cloud has to do, bundled or not::

        class TestHetzner(CloudContract):
            cloud = crosscloud_clouds()[0]

    Tests that need what is not here (a provider, root) are skipped, and say so. Those marked ``slow`` take minutes.
    """

    cloud: ClassVar[Cloud]

    #: What the module's own variables without a default are in these tests.
    variables: ClassVar[Mapping[str, Any]] = {}

    #: Types or addresses of resources that cannot carry tags or labels.
    untagged: ClassVar[Collection[str]] = ()

    #: Types or addresses of resources whose names stand within another resource's.
    unnamed: ClassVar[Collection[str]] = ()

    # -- the plugin -----------------------------------------------------------------------------------------

    def test_declaration(self) -> None:
        accept(checks.declaration(self.cloud))

    def test_secrets_are_shown_nowhere(self, pytestconfig: pytest.Config) -> None:
        """Values that are planted in every credential are in no output of the commands."""
        secret = [credential.name for credential in self.cloud.credentials if credential.secret]
        planted = {name: f"planted-{number}-{os.getpid()}" for number, name in enumerate(secret)}
        environment = {**os.environ, **planted}
        name = self.cloud.name
        for command in (
            ["list", "--json"],
            ["doctor", f"--clouds={name}", "--json"],
            ["plan", f"--clouds={name}", "--refs=stable", "--json"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "pytest_crosscloud", *command],
                cwd=pytestconfig.rootpath,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_COMMAND,
                check=False,
            )
            said = done.stdout + done.stderr
            assert done.returncode in (0, 1), f"{command}: {done.stderr}"  # 4: nobody knows the cloud here
            accept(checks.leaks(said, planted), command)

    def test_destroying_nothing_works_and_twice_too(self, tmp_path: Path) -> None:
        """As the reaper does after a provision that died before it made anything."""
        if not isinstance(self.cloud, TerraformCloud) and (missing := self.cloud.preflight()):
            pytest.skip(f"{self.cloud.name} cannot be used here: {missing[0]}")
        request = self.request(tmp_path)
        self.cloud.destroy(request)
        self.cloud.destroy(request)
        left = [path for path in request.directory.rglob("*") if path.is_file()]
        assert left == [], "what it keeps of a cluster goes with the cluster"

    # -- its Terraform module -------------------------------------------------------------------------------

    def test_interface(self) -> None:
        accept(checks.interface(self.terraform_cloud(), self.module()))

    def test_it_has_what_it_refers_to(self) -> None:
        accept(checks.references(self.module()))

    def test_names_begin_with_the_clusters(self) -> None:
        accept(checks.naming(self.module(), self.unnamed))

    def test_everything_carries_the_tags(self) -> None:
        accept(checks.tagging(self.module(), self.untagged))

    def test_secrets_are_sensitive(self) -> None:
        accept(checks.secrecy(self.module()))

    def test_format(self) -> None:
        argv = [str(tool("terraform")), "fmt", "-check", "-diff", str(self.terraform_cloud().source)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_COMMAND, check=False)
        assert done.returncode == 0, done.stdout

    @pytest.mark.slow
    def test_the_real_providers_accept_it(self, tmp_path: Path) -> None:
        """``terraform validate``, where the providers can be had: from the plugin cache, a mirror or their registry."""
        program = tool("terraform")
        host = providers.default_host(program)
        for provider in self.module().providers:
            try:
                _ = providers.here(provider, host) or providers.ask(provider, host)
            except CrosscloudError as error:
                pytest.skip(f"{provider.source} cannot be had here: {error.message}")
        request = self.request(tmp_path)
        root = self.terraform_cloud().copy_module(request.directory)
        cache = providers.plugin_cache()
        cache.mkdir(parents=True, exist_ok=True)
        are_cached = providers.are_cached(self.module().providers, program)
        environment = {**os.environ, "TF_PLUGIN_CACHE_DIR": "" if are_cached else str(cache)}
        init = ["init", "-backend=false", "-input=false", *([f"-plugin-dir={cache}"] if are_cached else [])]
        for command in (init, ["validate"]):
            done = subprocess.run(
                [program, *command, "-no-color"],
                cwd=root,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_VALIDATE,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr

    # -- what its nodes boot --------------------------------------------------------------------------------

    def test_user_data(self) -> None:
        rendered = self.user_data()
        assert list(rendered) == ["control-plane", "worker-1"], "the nodes' names, as everywhere"
        accept(f"{node}: {fault}" for node, text in rendered.items() for fault in checks.user_data(text))

    @pytest.mark.root
    @pytest.mark.slow
    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it starts machines of this computer")
    def test_user_data_boots(self, tmp_path: Path) -> None:
        """A control plane and a worker, as machines of this computer at the addresses that the cloud would give."""
        self.user_data()
        if missing := machine.preflight():
            pytest.skip(f"no machines here: {missing[0]}")
        given = {**self.cloud.variables, **self.variables, "workers": 1}
        nodes = boot.ready_nodes(self.terraform_cloud().source, given, tmp_path)
        assert sorted(nodes) == ["control-plane", "worker-1"]

    # -- what the tests above ask for -----------------------------------------------------------------------

    @classmethod
    def terraform_cloud(cls) -> TerraformCloud:
        """The cloud, if it is a Terraform module; else the test is skipped."""
        if not isinstance(cls.cloud, TerraformCloud):
            pytest.skip(f"{cls.cloud.name} is not a Terraform module")
        return cls.cloud

    @classmethod
    def module(cls) -> Module:
        return _module(cls.terraform_cloud().source)

    @classmethod
    def user_data(cls) -> Mapping[str, str]:
        """What one control plane and one worker boot, by node; skipped if the cloud makes the nodes itself."""
        if not cls.module().uses_kubeadm:
            pytest.skip(f"{cls.cloud.name} makes its nodes itself")
        source = cls.terraform_cloud().source
        assert (source / "nodes.tf").is_file(), f"{source} has no nodes.tf: what nodes boot is made without a provider"
        return _rendered(source, json.dumps({**cls.cloud.variables, **cls.variables}))

    def request(self, directory: Path) -> ProvisionRequest:
        """A request for a cluster that was never made."""
        stage = StageContext("provision contract", "0123abcd", directory / "out", deadline=time.monotonic() + _COMMAND)
        state = directory / "cluster"
        state.mkdir(mode=0o700)
        return ProvisionRequest(
            cloud=self.cloud,
            name="xc-0123abcd-contract",
            kubernetes=Ref("stable", "v1.36.3"),
            arch=self.cloud.arch[0],
            workers=1,
            variables={**self.cloud.variables, **self.variables},
            directory=state,
            tags={"crosscloud-run": "0123abcd"},
            registries=(),
            stage=stage,
        )


def accept(faults: Iterable[str], where: object = "") -> None:
    """Fail with all that is wrong, a line each."""
    if lines := list(faults):
        pytest.fail("\n".join([*([f"{where}:"] if where else []), *lines]), pytrace=False)


@functools.cache
def _module(folder: Path) -> Module:
    return Module(folder)


@functools.cache
def _rendered(source: Path, given: str) -> Mapping[str, str]:
    return render(source, variables(**{**json.loads(given), "workers": 1}))
