"""What node.sh does on a machine of a cloud's that no machine of this computer has to do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pytest_crosscloud import paths

NODE = paths.data("terraform", "modules", "kubeadm", "files", "node.sh")

#: A machine with an interface, before it has an address.
MACHINE = """
set -e
ip link add eth0 type veth peer name cloud
ip link set eth0 up
ip link set cloud up
"""


def routes(network: str) -> str:
    """What the loop of node.sh makes of a machine whose network is set up so: its route to the other's pods."""
    script = NODE.read_text()
    loop = script[script.index("  for route in $ROUTES") : script.index("  # The metadata service")]
    program = f"{MACHINE}{network}\nROUTES=10.244.1.0/24=10.240.0.11\n{loop}\nip route show 10.244.1.0/24"
    done = subprocess.run(["unshare", "--net", "bash", "-c", program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.root
def test_a_neighbour_is_the_gateway_to_its_pods() -> None:
    assert routes("ip address add 10.240.0.10/24 dev eth0") == "10.244.1.0/24 via 10.240.0.11 dev eth0"


@pytest.mark.root
def test_who_has_no_neighbours_leaves_the_pods_to_the_clouds_routes() -> None:
    """Google gives each machine an address of a single host; the kernel takes no gateway that is behind another."""
    alone = (
        "ip address add 10.240.0.10/32 dev eth0\nip route add 10.240.0.1 dev eth0\nip route add default via 10.240.0.1"
    )
    assert routes(alone) == ""


#: An apt-get that installs one package, into a root of its own, and hands dpkg the options that it got.
APT_GET = """#!/bin/bash
PATH=/usr/sbin:/usr/bin:/sbin:/bin
[[ " $* " = *" install "* ]] || exit 0
options=()
for word; do [[ $word = Dpkg::Options::=* ]] && options+=("${word#*::=}"); done
exec dpkg --root=ROOT/root --force-not-root --force-script-chrootless "${options[@]}" --install ROOT/containerd.deb
"""

CONTROL = "Package: containerd\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example>\nDescription: x\n"


def test_containerds_configuration_survives_its_installation(tmp_path: Path) -> None:
    """Debian's package brings one too, and asks which is wanted; nobody is there to answer."""
    for name, content in (
        ("package/DEBIAN/control", CONTROL),
        ("package/DEBIAN/conffiles", "/etc/containerd/config.toml\n"),
        ("package/etc/containerd/config.toml", "theirs\n"),
        ("root/etc/containerd/config.toml", "ours\n"),
        ("root/var/lib/dpkg/status", ""),
        ("root/var/lib/dpkg/info/format", "1\n"),
        ("root/var/lib/dpkg/updates/.keep", ""),
        ("bin/apt-get", APT_GET.replace("ROOT", str(tmp_path))),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "root/var/lib/dpkg/updates/.keep").unlink()
    (tmp_path / "bin/apt-get").chmod(0o755)
    (tmp_path / "package/DEBIAN").chmod(0o755)
    subprocess.run(["dpkg-deb", "--build", "package", "containerd.deb"], cwd=tmp_path, check=True, capture_output=True)
    script = NODE.read_text()
    install = script[script.index("install_packages() {") : script.index("download() {")]
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -eu\nstep() {{ :; }}\n{install}\ninstall_packages"],
        env={**os.environ, "PATH": str(tmp_path / "bin")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "root/etc/containerd/config.toml").read_text() == "ours\n"
