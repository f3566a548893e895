"""Where Terraform keeps a cluster's state: beside the module, or in a bucket of S3 or what is compatible with it.

In a bucket it has a lock beside it (conditional PUTs: Terraform 1.10, OpenTofu 1.10). Region, endpoint and credentials
are what the environment says, as for any program of AWS; none of it goes into a file.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

#: Terraform merges it into the module, over a backend that the module may have.
FILE = "crosscloud_backend_override.tf.json"

#: What AWS alone has an answer to.
_NOT_AWS = (
    "skip_credentials_validation",
    "skip_requesting_account_id",
    "skip_region_validation",
    "skip_metadata_api_check",
    "skip_s3_checksum",
)


def write(root: Path, address: str, name: str) -> None:
    """Have the module in ``root`` keep its state at ``address``, ``s3://bucket/prefix``, as ``name``'s."""
    (root / FILE).write_text(json.dumps({"terraform": {"backend": {"s3": settings(address, name)}}}, indent=2))


def settings(address: str, name: str) -> dict[str, Any]:
    """The backend's arguments."""
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    key = "/".join(part for part in (*prefix.split("/"), f"{name}.tfstate") if part)
    found: dict[str, Any] = {"bucket": bucket, "key": key, "use_lockfile": True}
    if not (os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")):
        return {**found, "encrypt": True}
    if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        found["region"] = "us-east-1"  # it wants one, also where there are none; on AWS a profile may say which
    return {**found, "use_path_style": True, **dict.fromkeys(_NOT_AWS, True)}
