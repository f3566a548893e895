from __future__ import annotations

import json
from pathlib import Path

import pytest

from clouds.gce import crosscloud_clouds, lacking
from pytest_crosscloud.model import ProvisionRequest, Ref
from pytest_crosscloud.provision.remote import RemoteCloud
from pytest_crosscloud.stage import StageContext

#: Of `gcloud compute regions describe europe-west4 --format=json(quotas)`, some of the 80 metrics.
DESCRIBED = json.dumps(
    {
        "quotas": [
            {"limit": 24.0, "metric": "CPUS", "usage": 4.0},
            {"limit": 4096.0, "metric": "DISKS_TOTAL_GB", "usage": 50.0},
            {"limit": 8.0, "metric": "STATIC_ADDRESSES", "usage": 0.0},
            {"limit": 8.0, "metric": "IN_USE_ADDRESSES", "usage": 1.0},
            {"limit": 2.0, "metric": "N2_CPUS", "usage": 0.0},
        ]
    }
)


def test_quotas_without_room_are_named() -> None:
    assert lacking(DESCRIBED, "europe-west4", "e2-standard-2", 3, 2) == []
    assert lacking(DESCRIBED, "europe-west4", "e2-standard-8", 1, 3) == [
        "vCPUs of europe-west4: 24 needed, 20 left of the quota of 24"
    ]
    assert lacking(DESCRIBED, "europe-west4", "e2-medium", 9, 1) == [
        "static addresses of europe-west4: 9 needed, 8 left of the quota of 8",
        "addresses in use of europe-west4: 9 needed, 7 left of the quota of 8",
    ]


def test_families_have_quotas_of_their_own() -> None:
    assert lacking(DESCRIBED, "europe-west4", "n2-standard-4", 1, 1) == [
        "vCPUs of europe-west4: 4 needed, 2 left of the quota of 2"
    ]
    assert lacking(DESCRIBED, "europe-west4", "c4a-standard-72", 1, 1) == [], "it is not said there"


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gcloud that writes down what it was asked, and names one thing of a kind."""
    program = tmp_path / "gcloud"
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/said\n'
        f'case "$*" in *describe*) read -r text < {tmp_path}/described; echo "$text" ;; *) echo "projects/$2" ;; esac\n'
    )
    program.chmod(0o755)
    (tmp_path / "described").write_text(DESCRIBED)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_gcloud_is_asked(gcloud: Path) -> None:
    (cloud,) = crosscloud_clouds()
    assert cloud.capacity(8) == ["addresses in use of europe-west4: 8 needed, 7 left of the quota of 8"]
    assert "describe europe-west4 " in (gcloud / "said").read_text()
    (gcloud / "gcloud").unlink()
    assert cloud.capacity(8) == []
    (gcloud / "gcloud").write_text("#!/bin/sh\necho 'Required compute.regions.get permission' >&2\nexit 1\n")
    (gcloud / "gcloud").chmod(0o755)
    assert cloud.capacity(8) == [], "a quota that may not be asked for is not judged"


def test_what_has_no_labels_is_found_by_name(gcloud: Path) -> None:
    (cloud,) = crosscloud_clouds()
    found = cloud.owned("0123abcd")
    asked = (gcloud / "said").read_text().splitlines()
    assert len(found) == len(asked) == 7
    assert "compute instances list --filter=labels.crosscloud-run=0123abcd --format=value(selfLink)" in asked
    assert "compute networks list --filter=name~^xc-0123abcd- --format=value(selfLink)" in asked


def test_runs_are_found_by_the_names_of_what_they_have(gcloud: Path) -> None:
    (cloud,) = crosscloud_clouds()
    link = "https://www.googleapis.com/compute/v1/projects/p/zones/z/instances"
    (gcloud / "gcloud").write_text(
        f'#!/bin/sh\necho "$*" >> {gcloud}/said\necho {link}/xc-0123abcd-gce-worker-1\necho {link}/xc-mine\n'
    )
    assert cloud.runs() == ["0123abcd"]
    asked = (gcloud / "said").read_text().splitlines()
    assert len(asked) == len(set(asked)) == 7 and all("--filter=name~^xc- " in line for line in asked)


def test_consoles_are_read_and_a_failure_is_no_end(
    gcloud: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_PROJECT", "a-project")
    (gcloud / "gcloud").write_text(
        '#!/bin/sh\ncase "$4" in *worker-2) exit 1 ;; esac\necho "$CLOUDSDK_CORE_PROJECT $4 $5 says: done"\n'
    )
    (cloud,) = crosscloud_clouds()
    request = ProvisionRequest(
        cloud=cloud,
        name="xc-0123abcd-gce",
        kubernetes=Ref("stable", "v1.36.3"),
        arch="amd64",
        workers=2,
        variables={"zone": "us-east1-b"},
        directory=tmp_path,
        tags={},
        registries=(),
        stage=StageContext("provision gce", "0123abcd", tmp_path / "out"),
    )
    assert isinstance(cloud, RemoteCloud)
    assert cloud.console_texts(request) == {
        "control-plane": "a-project xc-0123abcd-gce-control-plane --zone=us-east1-b says: done\n",
        "worker-1": "a-project xc-0123abcd-gce-worker-1 --zone=us-east1-b says: done\n",
    }


def test_a_key_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "key.json"
    monkeypatch.setenv("GOOGLE_PROJECT", "a-project")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    (cloud,) = crosscloud_clouds()
    (problem,) = cloud.preflight()
    assert problem.startswith("GOOGLE_APPLICATION_CREDENTIALS names a file that is not there: path of ")
    key.touch()
    assert cloud.preflight() == []
