"""The cloud xctitle: a Terraform module, and what of it is said here."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Cloud, Credential
from pytest_crosscloud.provision.remote import RemoteCloud


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        RemoteCloud(
            name="xcname",
            display_name="xctitle",
            module=Path(__file__).parent / "module",
            # TODO: what the provider reads from the environment. The help says what it is and where to get it.
            credentials=(Credential("XCENV_TOKEN", "an API token of xctitle: where one gets it"),),
            # TODO: ("amd64", "arm64"), if it has machines of both.
            arch=("amd64",),
            # TODO: some that have all that the module needs, the default first; the module's variables take them.
            regions=("region-1",),
            sizes=("small",),
            variables={"region": "region-1"},
            # TODO: inventory=Inventory(argv, program, of_all=[argv]) lists what carries a run's tag, and what carries
            # any run's: crosscloud clean asks for it.
        )
    ]
