from __future__ import annotations

import json
from pathlib import Path

import pytest

from clouds.ibm import crosscloud_clouds

#: Of `ibmcloud resource search 'tags:"crosscloud-run:0123abcd"' --output json`: one of its pages.
FOUND = {
    "items": [
        {"crn": "crn:v1:bluemix:public:is:eu-de:a/1234::vpc:r010-5678", "name": "xc-0123abcd-ibm", "type": "vpc"},
        {"crn": "crn:v1:bluemix:public:containers-kubernetes:eu-de:a/1234:c9::", "name": "xc-0123abcd-ibm"},
    ],
    "limit": 100,
}


def test_owned_are_the_resources_that_the_search_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ibmcloud"
    program.write_text(f"#!/bin/sh\necho \"$*\" > {tmp_path}/said\necho '{json.dumps(FOUND)}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (cloud,) = crosscloud_clouds()
    assert cloud.owned("0123abcd") == [item["crn"] for item in FOUND["items"]]  # type: ignore[attr-defined]
    assert (tmp_path / "said").read_text() == 'resource search tags:"crosscloud-run:0123abcd" --output json\n'
