"""Amazon Web Services: EC2 instances in a VPC of their own, see terraform/aws."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.declared import describe
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import RemoteCloud

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud, ProvisionRequest

    from .api import Api

_KEYS = "IAM > Users > Security credentials > Access keys. terraform/aws/README.md has its policy"

#: What does as well as a key.
_OTHERS = (
    "AWS_PROFILE, the profile [default] of ~/.aws, or whatever `aws configure export-credentials` finds where the AWS "
    "CLI is installed (single sign-on, the role of an instance or a pod)"
)


@dataclass(frozen=True, kw_only=True)
class AwsCloud(RemoteCloud):
    """terraform/aws, and what AWS' API says beside it. Credentials: see ``api.credentials``."""

    def preflight(self) -> list[str]:
        from . import api

        lacking = []
        try:
            found = api.credentials()
        except CrosscloudError as error:
            return [describe(error)]
        if found is None:
            lacking = [f"{credential.name} is not set: {credential.help}" for credential in super().unset()]
            lacking.append(f"instead of a key: {_OTHERS}")
        if not self._region():
            lacking.append("AWS_REGION is not set: where to make clusters, e.g. eu-central-1; or the variable region")
        if not lacking:
            try:
                self._api().query("sts", "GetCallerIdentity")
            except CrosscloudError as error:
                lacking.append(describe(error))
        return lacking

    def unset(self) -> list[Credential]:
        from . import api

        try:
            return super().unset() if api.credentials() is None else []
        except CrosscloudError:  # a profile that is wrong: preflight says how
            return []

    def capacity(self, clusters: int) -> list[str]:
        from . import quota

        return quota.lacking(self._api(), clusters, int(self.variables.get("workers", 0)), self._type())

    def console_texts(self, request: ProvisionRequest) -> dict[str, str]:
        from .owned import instances

        try:
            api = self._api(str(request.variables.get("region") or ""))
            texts = {}
            for instance in instances(api, "crosscloud-cluster", request.name):
                answer = api.query("ec2", "GetConsoleOutput", InstanceId=instance.id)
                said = base64.b64decode(answer.findtext("output") or "").decode(errors="replace")
                texts[instance.name.removeprefix(f"{request.name}-")] = said
        except (CrosscloudError, ValueError):  # a look at what a node says must not end the wait for it
            return {}
        return texts

    def owned(self, run: str) -> list[str]:
        from .owned import names

        return names(self._api(), run)

    def runs(self) -> list[str]:
        from . import api
        from .owned import runs

        # Every crosscloud clean asks; who has no credentials has nothing there.
        return runs(self._api()) if api.credentials() and self._region() else []

    def sweep(self, run: str) -> None:
        from .owned import sweep

        sweep(self._api(), run)

    def _region(self) -> str:
        from . import api

        return str(self.variables.get("region") or "") or api.region()

    def _type(self) -> str:
        return str(self.variables.get("instance_type") or self.sizes[0])

    def _api(self, region: str = "") -> Api:
        """:raises CrosscloudError: there are no credentials, or no region."""
        from . import api

        found, where = api.credentials(), region or self._region()
        if found is None:
            raise CrosscloudError(
                "AWS: there are no credentials", remedy=f"set AWS_ACCESS_KEY_ID and its secret, or have {_OTHERS}"
            )
        if not where:
            raise CrosscloudError("AWS: no region is known", remedy="set AWS_REGION")
        return api.Api(where, found)


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        AwsCloud(
            name="aws",
            display_name="AWS",
            order=20,
            billing="instances, their disks and an elastic IP",
            arch=("amd64", "arm64"),
            credentials=(
                Credential("AWS_ACCESS_KEY_ID", f"the id of an access key: {_KEYS}", secret=False),
                Credential("AWS_SECRET_ACCESS_KEY", f"its secret: {_KEYS}"),
                Credential(
                    "AWS_SESSION_TOKEN", "its token, if the key is a temporary one (aws sts, SSO)", required=False
                ),
                Credential("AWS_PROFILE", "instead of a key: a profile of ~/.aws", required=False, secret=False),
                Credential("AWS_REGION", "where to make clusters, e.g. eu-central-1", required=False, secret=False),
            ),
            regions=("us-east-1", "us-west-2", "eu-central-1", "eu-west-1", "ap-southeast-1"),
            sizes=("t3.medium", "m7i.large", "t4g.medium", "m7g.large"),
        )
    ]
