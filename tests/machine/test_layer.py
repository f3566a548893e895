"""What a machine's root has that its host's has not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_crosscloud.machine import layer
from pytest_crosscloud.machine.records import Machine

MACHINE = Machine("m1", "r1", "net", "198.19.7.10", "node", "/disk")


@pytest.fixture
def upper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The layer, written by anybody: the attribute that makes a directory opaque is for root only."""
    marked = []
    monkeypatch.setattr("os.setxattr", lambda path, name, value: marked.append((str(path), name)))
    directory = tmp_path / "upper"
    directory.mkdir()
    layer.fill(directory, MACHINE, "#cloud-config\n")
    (tmp_path / "opaque").write_text("\n".join(path for path, name in marked if name == "trusted.overlay.opaque"))
    return directory


def test_the_hosts_secrets_services_and_state_are_covered(upper: Path) -> None:
    opaque = {Path(line).relative_to(upper) for line in (upper.parent / "opaque").read_text().splitlines()}
    wanted = "root home etc/ssh etc/systemd var/lib/cloud var/lib/containerd var/lib/kubelet var/log"
    assert {Path(path) for path in wanted.split()} <= opaque
    assert Path("usr/lib/systemd/system/sysinit.target.wants") in opaque or not Path("/usr/lib/systemd/system").exists()
    assert Path("etc") not in opaque


def test_only_root_reads_user_data(upper: Path) -> None:
    file = upper / "var/lib/cloud/seed/nocloud/user-data"
    assert file.read_text() == "#cloud-config\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_machine_knows_its_own_name_and_address(upper: Path) -> None:
    assert (upper / "etc/hostname").read_text() == "node\n"
    assert "198.19.7.10 node\n" in (upper / "etc/hosts").read_text()
    assert len((upper / "etc/machine-id").read_text()) == 33


@pytest.mark.parametrize("capable", [True, False])
def test_services_may_not_lower_their_oom_score_without_the_capability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capable: bool
) -> None:
    monkeypatch.setattr("os.setxattr", lambda path, name, value: None)
    monkeypatch.setattr("pytest_crosscloud.machine.linux.has_capability", lambda number: capable)
    layer.fill(tmp_path, MACHINE, "")
    assert (tmp_path / "etc/systemd/system/service.d/host.conf").exists() is not capable


def test_a_name_server_on_loopback_is_the_hosts_alone(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("# comment\nnameserver 127.0.0.53\nsearch example.org\n")
    real.write_text("nameserver 192.0.2.53\nsearch example.org\n")
    assert layer._resolv_conf((stub, real)) == "nameserver 192.0.2.53\nsearch example.org\n"
    assert layer._resolv_conf((stub, tmp_path / "missing")) == ""
