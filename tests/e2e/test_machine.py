"""Real machines: they boot user-data, reach each other, and leave nothing behind."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_crosscloud import machine, paths
from pytest_crosscloud.machine import cgroups, disk
from pytest_crosscloud.machine.clone import clone
from tests.e2e.computer import Computer

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="machines need root"),
]

COMMAND = (sys.executable, "-m", "pytest_crosscloud.machine")

#: How many times slower than usual this computer may be: emulated ones are.
PATIENCE = float(os.environ.get("CROSSCLOUD_TEST_PATIENCE", "1"))

USER_DATA = """\
#cloud-config
write_files:
  - {path: /etc/greeting, content: "hello from user-data", permissions: "0640"}
runcmd:
  - [sh, -c, "hostname > /root/ran; systemctl start containerd"]
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A run's id; at the end nothing may be left of it, whatever the test has done."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = f"t{uuid.uuid4().hex[:8]}"
    before = Computer()
    yield name
    machine.destroy_run(name)
    assert machine.leftovers(name) == []
    assert before.left(name) == []


@pytest.fixture
def network(run: str) -> str:
    """A network of the run, and its first three octets."""
    cidr = machine.allocate_network(f"{run}-net", run)
    call("network-up", "--name", f"{run}-net", "--cidr", cidr, "--run", run)
    return cidr.rpartition(".")[0]


def call(*arguments: str, check: bool = True, command: tuple[str, ...] = COMMAND) -> str:
    """What terraform does: the command line, with pipes that it waits for."""
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60 * PATIENCE)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout + ("" if done.returncode == 0 else done.stderr)


def up(run: str, name: str, address: str, tmp_path: Path, *extra: str, command: tuple[str, ...] = COMMAND) -> None:
    file = tmp_path / f"{name}.yaml"
    file.write_text(USER_DATA)
    options = {"--name": name, "--network": f"{run}-net", "--address": address, "--hostname": name}
    options |= {"--user-data": str(file), "--run": run}
    call("up", *(word for pair in options.items() for word in pair), *extra, command=command)


def inside(name: str, *argv: str, check: bool = True) -> str:
    return call("exec", name, "--", *argv, check=check)


def await_boot(name: str) -> str:
    """The machine's state once it has finished to boot, in systemd's word."""
    limit = time.monotonic() + 50 * PATIENCE
    while True:
        # --wait waits for the state, but not for the bus over which it asks.
        state = inside(name, "timeout", str(50 * PATIENCE), "systemctl", "is-system-running", "--wait", check=False)
        if "Failed to connect to bus" not in state:
            return state.split("\n")[0]
        assert time.monotonic() < limit, state
        time.sleep(0.02)


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30 * PATIENCE
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_two_machines_boot_user_data_and_reach_each_other_and_the_host(run: str, network: str, tmp_path: Path) -> None:
    first, second = f"{run}-a", f"{run}-b"
    up(run, first, f"{network}.10", tmp_path)
    up(run, second, f"{network}.11", tmp_path)
    assert [record.name for record in machine.machines(run)] == [first, second]
    listed = json.loads(call("list", "--run", run, "--json"))
    assert [record["address"] for record in listed] == [f"{network}.10", f"{network}.11"]

    for name in (first, second):
        assert await_boot(name) == "running", call("console", name)
        assert inside(name, "systemctl", "--failed", "--plain", "--no-legend") == ""
        assert inside(name, "stat", "-c", "%a", "/etc/greeting") == "640\n"
        assert inside(name, "cat", "/etc/greeting", "/root/ran") == f"hello from user-data{name}\n"
        assert inside(name, "systemctl", "is-active", "containerd") == "active\n"
        assert inside(name, "cloud-init", "status") == "status: done\n"
        assert "Reached target crosscloud.target" in call("console", name)

    with listener(f"{network}.1") as port:
        assert talk(first, f"{network}.1", port) == "hello"
    serve = "import socket; socket.create_server(('', 8000)).accept()[0].sendall(b'hello')"
    server = subprocess.Popen([*COMMAND, "exec", second, "--", "python3", "-c", serve])
    wait_for(lambda: ":1F40" in inside(second, "cat", "/proc/net/tcp"))  # 8000
    assert talk(first, f"{network}.11", 8000) == "hello"
    assert server.wait(10 * PATIENCE) == 0


class listener:  # noqa: N801  used as a function
    """A TCP server of one connection on this host, that says hello."""

    def __init__(self, address: str) -> None:
        self._socket = socket.create_server((address, 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._serve, daemon=True).start()
        return int(self._socket.getsockname()[1])

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        connection.sendall(b"hello")
        connection.close()

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def talk(name: str, address: str, port: int) -> str:
    connect = f"socket.create_connection(('{address}', {port}), {10 * PATIENCE})"
    return inside(name, "python3", "-c", f"import socket; print({connect}.recv(9).decode(), end='')")


def test_a_machine_is_no_part_of_its_host(run: str, network: str, tmp_path: Path) -> None:
    name = f"{run}-a"
    before = Path("/proc/sys/vm/overcommit_memory").read_text()
    up(run, name, f"{network}.10", tmp_path)
    assert set(inside(name, "ls", "-A", "/root", "/etc/ssh").split()) <= {"/etc/ssh:", "/root:", "ran"}
    inside(name, "sh", "-c", "echo 2 >/proc/sys/vm/overcommit_memory; echo x >/etc/crosscloud-test")
    assert inside(name, "cat", "/proc/sys/vm/overcommit_memory") == "2\n"
    assert Path("/proc/sys/vm/overcommit_memory").read_text() == before
    assert not Path("/etc/crosscloud-test").exists()
    assert "Read-only" in inside(name, "sh", "-c", "echo 1 >/proc/sys/vm/swappiness", check=False)
    inside(name, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter")


def test_down_leaves_nothing_and_can_be_repeated(run: str, network: str, tmp_path: Path) -> None:
    name = f"{run}-a"
    up(run, name, f"{network}.10", tmp_path)
    await_boot(name)
    call("down", "--name", name, "--run", "another")
    assert machine.machines(run)
    for _ in range(2):
        call("down", "--name", name)
        call("network-down", "--name", f"{run}-net")
        assert machine.leftovers(run) == []


def test_leftovers_sees_what_there_is(run: str, network: str, tmp_path: Path) -> None:
    up(run, f"{run}-a", f"{network}.10", tmp_path)
    kinds = {line.split()[0] for line in machine.leftovers(run)}
    assert kinds == {"process", "interface", "iptables", "cgroup", "disk", "record"}


def test_a_failure_to_start_leaves_nothing_and_says_why(run: str, network: str, tmp_path: Path) -> None:
    file = tmp_path / "user-data"
    file.write_text("#cloud-config\n")
    name = f"{run}-a"
    arguments = ["--name", name, "--network", f"{run}-net", "--address", "not-an-address", "--hostname", name]
    message = call("up", *arguments, "--user-data", str(file), "--run", run, check=False)
    assert "not-an-address" in message
    assert "Traceback" not in message
    assert all(name not in line for line in machine.leftovers(run))


@pytest.mark.parametrize("milliseconds", [0, 5, 10, 20, 40, 80, 160])
def test_a_killed_up_leaves_nothing_after_the_runs_end(
    run: str, network: str, tmp_path: Path, milliseconds: int
) -> None:
    """kill -9 at several moments after the intent was recorded; the last ones hit a machine that boots."""
    file = tmp_path / "user-data"
    file.write_text(USER_DATA)
    name = f"{run}-a"
    arguments = ["--name", name, "--network", f"{run}-net", "--address", f"{network}.10", "--hostname", name]
    process = subprocess.Popen([*COMMAND, "up", *arguments, "--user-data", str(file), "--run", run])
    record = Path("/run/crosscloud/machines", f"{name}.json")
    wait_for(lambda: record.exists() or process.poll() is not None)
    time.sleep(milliseconds / 1000)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if all(found.pid == 0 for found in machine.machines(run)):  # nobody would know its pid: it must not go on alone
        wait_for(lambda: not cgroups.processes(cgroups.current(), run))
    machine.destroy_run(run)
    assert machine.leftovers(run) == []


def test_a_lost_record_does_not_save_a_machine(run: str, network: str, tmp_path: Path) -> None:
    up(run, f"{run}-a", f"{network}.10", tmp_path)
    Path("/run/crosscloud/machines", f"{run}-a.json").unlink()
    machine.destroy_run(run)
    assert not disk.home(f"{run}-a").exists()
    assert machine.leftovers(run) == []


def layered_image(target: Path) -> None:
    """An image archive with busybox in one layer and a file in the next."""
    busybox = Path("/bin/busybox").read_bytes()
    layers = {"one.tar": {"bin/busybox": busybox}, "two.tar": {"etc/layer": b"two"}}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    with tarfile.open(target, "w") as archive:
        for name, files in layers.items():
            layer = io.BytesIO()
            with tarfile.open(fileobj=layer, mode="w") as tar:
                for path, content in files.items():
                    _add(tar, path, content)
            _add(archive, name, layer.getvalue())
            config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}")  # type: ignore[index]
        _add(archive, "config.json", json.dumps(config).encode())
        manifest = [{"Config": "config.json", "RepoTags": ["test.local/test:1"], "Layers": list(layers)}]
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _add(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    information = tarfile.TarInfo(path)
    information.size, information.mode = len(content), 0o755
    tar.addfile(information, io.BytesIO(content))


def test_a_cloned_disk_shares_image_layers_and_no_file_that_is_written(run: str, network: str, tmp_path: Path) -> None:
    name = f"{run}-a"
    paths.cache().mkdir(parents=True)
    layered_image(paths.cache("image.tar"))
    up(run, name, f"{network}.10", tmp_path)
    assert await_boot(name) == "running"
    inside(name, "ctr", "--namespace=k8s.io", "images", "import", str(paths.cache("image.tar")))
    container = ["--namespace=k8s.io", "run", "--detach", "test.local/test:1", "c1", "/bin/busybox"]
    inside(name, "ctr", *container, "sh", "-c", "echo x > /written; exec /bin/busybox sleep 600")
    source = disk.home(name) / "disk"
    written = "var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs/written"
    wait_for(lambda: bool(list(source.glob(written))))
    call("down", "--name", name, "--keep-disk")

    clone(source, tmp_path / "clone")
    same = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and path.samefile(tmp_path / "clone" / path.relative_to(source))
    }
    assert any(path.endswith("fs/bin/busybox") for path in same)
    assert any(path.endswith("fs/etc/layer") for path in same)
    assert any("/blobs/sha256/" in path for path in same)
    kinds = ("fs/bin/busybox", "fs/etc/layer")
    assert all(path.endswith(kinds) or "/blobs/sha256/" in path for path in same)

    up(run, f"{run}-b", f"{network}.11", tmp_path, "--disk-from", str(source))
    assert await_boot(f"{run}-b") == "running"
    assert "test.local/test:1" in inside(f"{run}-b", "ctr", "--namespace=k8s.io", "images", "list", "--quiet")
    shutil.rmtree(disk.home(name))  # which was to be kept


@pytest.mark.skipif(not cgroups.current().v1, reason="this host has cgroup v2 only: all the other tests show it")
def test_a_machine_of_a_host_that_mounts_cgroup_v2_only(run: str, network: str, tmp_path: Path) -> None:
    """Boots on the v2 hierarchy alone. Its controllers are bound to v1 here, so this is about everything else."""
    name = f"{run}-a"
    mount = 'umount --lazy /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"'
    up(run, name, f"{network}.10", tmp_path, command=("unshare", "--mount", "sh", "-c", mount, "sh", *COMMAND))
    assert await_boot(name) == "running", call("console", name)
    assert inside(name, "stat", "--file-system", "--format=%T", "/sys/fs/cgroup") == "cgroup2fs\n"
    assert "0::/init.scope\n" in inside(name, "cat", "/proc/1/cgroup")
    assert "containerd.service" in inside(name, "ls", "/sys/fs/cgroup/system.slice")
    call("down", "--name", name)
    assert not any(line.startswith(("process", "cgroup")) for line in machine.leftovers(run))


def test_this_computer_passes_the_preflight_check(run: str) -> None:
    assert machine.preflight() == []
