"""A guest of QEMU with Debian's kernel and cgroup v2 only, over this computer's files; emulated, so it needs no KVM.

The guest reads this computer's root file system, where nothing can be written, beneath an overlay on a disk of its own:
the same programs, the same checkout at the same path. `python -m tests.e2e.guest` installs what it takes.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_crosscloud import paths
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import debian
from pytest_crosscloud.toolchain.cached import made
from pytest_crosscloud.toolchain.tools import setup_stage

#: Program → Debian's package, beyond what runs need.
PACKAGES = {"qemu-system-x86_64": "qemu-system-x86", "mkfs.ext4": "e2fsprogs", "depmod": "kmod"}

#: Where the guest's own disk is in it: cache, state, temporary files and what the overlay has.
HOME = "/guest"

#: What of the kernel's modules a host of clusters needs, below lib/modules/VERSION.
_MODULES = (
    "modules.*",
    "kernel/arch/*",
    "kernel/crypto/*",
    "kernel/drivers/block/virtio_blk.ko*",
    "kernel/drivers/net/veth.ko*",
    "kernel/drivers/virtio/*",
    "kernel/fs/*",
    "kernel/lib/*",
    "kernel/net/*",
)

#: Loaded, with what they depend on, before there is a root.
_EARLY = ("virtio_pci", "virtio_blk", "9pnet_virtio", "9p", "ext4", "overlay")

_INIT = f"""\
#!/busybox sh
set -e
PATH=/
mount() {{ busybox mount "$@"; }}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in $(busybox cat /modules/order); do busybox insmod "/modules/$module"; done
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /host
mount -t ext4 /dev/vda /disk
mount -t overlay -o lowerdir=/host,upperdir=/disk/upper,workdir=/disk/work overlay /root
mount --move /disk /root{HOME}
mount --bind /root{HOME}/modules /root/usr/lib/modules
mount -t tmpfs tmpfs /root/tmp
mount --move /dev /root/dev
busybox umount /proc /sys
exec busybox switch_root /root /usr/lib/systemd/systemd
"""

# Nothing of this computer's own services: they would wait for its devices and clean up its files.
_UNITS = {
    "default.target": "[Unit]\nRequires=guest.service\n",
    "guest.service": f"""\
[Unit]
DefaultDependencies=no
Wants=systemd-journald.service
After=systemd-journald.service
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=exec
ExecStart=/bin/bash {HOME}/main
StandardOutput=file:/dev/ttyS1
StandardError=inherit
TasksMax=infinity
Environment=HOME=/root LANG=C.UTF-8 XDG_CACHE_HOME={HOME}/cache XDG_STATE_HOME={HOME}/state TMPDIR={HOME}/tmp
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
""",
}


@dataclass(frozen=True)
class Kernel:
    """A kernel of Debian's, unpacked."""

    directory: Path

    @property
    def image(self) -> Path:
        return next(self.directory.glob("boot/vmlinuz-*"))

    @property
    def modules(self) -> Path:
        return self.directory / "lib/modules"


@dataclass(frozen=True)
class Ended:
    """What a script in a guest has left: its exit code (None: it did not come to its end), and all it said."""

    code: int | None
    text: str


def kernel() -> Kernel:
    """The kernel that ``linux-image-amd64`` stands for today, kept in the cache.

    :raises StageError: apt-get does not know it, or cannot fetch it.
    """
    stage = setup_stage("guest-kernel")
    words = stage.command(["apt-cache", "depends", "linux-image-amd64"]).output.split()
    package = next((word for word in words[1:] if word.startswith("linux-image-")), "")  # the first is the asked one
    if not package:
        raise StageError("apt knows no linux-image-amd64", remedy="apt-get update")

    def make(directory: Path) -> None:
        # As root's own: apt's unprivileged user could not write here.
        stage.command(["apt-get", "-o", "APT::Sandbox::User=root", "download", package], cwd=directory)
        (archive,) = directory.glob("*.deb")
        wanted = ["./boot/vmlinuz-*", *(f"./lib/modules/*/{path}" for path in _MODULES)]
        unpack = f"dpkg-deb --fsys-tarfile {shlex.quote(archive.name)} | tar --extract --wildcards {shlex.join(wanted)}"
        stage.command(["bash", "-o", "pipefail", "-c", unpack], cwd=directory)
        archive.unlink()
        (modules,) = directory.glob("lib/modules/*")
        stage.command(["depmod", "--basedir", str(directory), modules.name])

    return Kernel(made(stage, "guest-kernel", package, package, make))


def run(directory: Path, kernel: Kernel, script: str, cached: Sequence[Path], seconds: float) -> Ended:
    """Boot a guest, run the bash script in it as root, and wait until it has switched itself off.

    :param directory: empty; for the guest's disk and consoles.
    :param cached: what of this computer's cache is copied to the guest's, at the same place in it.
    :raises subprocess.TimeoutExpired: it took more than ``seconds``.
    """
    stage = StageContext("guest", "", directory)
    _make_initramfs(stage, kernel, directory / "initramfs")
    _make_disk(stage, kernel, script, cached, directory / "disk")
    # mitigations cost emulated time and protect nobody here; a watchdog would take slowness for a fault.
    options = "console=ttyS0 quiet panic=-1 mitigations=off nowatchdog systemd.show_status=0"
    argv = [
        *("setpriv", "--pdeathsig", "KILL", "nice", "--adjustment=10", "qemu-system-x86_64"),
        *("-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "4G"),
        *("-nodefaults", "-display", "none", "-no-reboot"),
        *("-kernel", str(kernel.image), "-initrd", "initramfs.img"),
        *("-append", f"{options} systemd.unified_cgroup_hierarchy=1"),
        *("-serial", "file:console.log", "-serial", "file:report.log"),
        *("-virtfs", "local,path=/,mount_tag=host,security_model=passthrough,readonly=on,multidevs=remap"),
        *("-drive", "file=disk.img,if=virtio,format=raw,cache=unsafe"),
    ]
    try:
        subprocess.run(argv, cwd=directory, timeout=seconds, check=True)
    finally:
        (directory / "disk.img").unlink()
    report = (directory / "report.log").read_text(errors="replace").replace("\r", "")
    text, _, code = report.rpartition("\nexit ")
    if not code.strip().isdigit():
        return Ended(None, report + (directory / "console.log").read_text(errors="replace"))
    return Ended(int(code), text)


def _make_initramfs(stage: StageContext, kernel: Kernel, root: Path) -> None:
    for name in ("dev", "disk", "host", "modules", "proc", "root", "sys"):
        (root / name).mkdir(parents=True)
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    (root / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (root / "busybox").chmod(0o755)
    (version,) = kernel.modules.iterdir()
    show = ["modprobe", "--dirname", str(kernel.directory), "--set-version", version.name, "--show-depends", "--all"]
    lines = stage.command([*show, *_EARLY]).output.splitlines()
    modules = list(dict.fromkeys(Path(line.split()[1]) for line in lines if line.startswith("insmod ")))
    for module in modules:
        (root / "modules" / module.name).write_bytes(module.read_bytes())
    (root / "modules/order").write_text("\n".join(module.name for module in modules))
    pack = "find . | busybox cpio -o -H newc > ../initramfs.img"
    stage.command(["bash", "-o", "pipefail", "-c", pack], cwd=root)


def _make_disk(stage: StageContext, kernel: Kernel, script: str, cached: Sequence[Path], root: Path) -> None:
    for name in ("cache", "modules", "state", "tmp", "work"):
        (root / name).mkdir(parents=True)
    (root / "main").write_text(f"(\n{script}\n)\ncode=$?\necho\necho exit $code\n")
    upper = root / "upper"
    for name in ("etc/systemd", "usr/lib/systemd/system-generators"):
        (upper / name).mkdir(parents=True)
        os.setxattr(upper / name, "trusted.overlay.opaque", b"y")
    for name in (HOME[1:], "usr/lib/modules", "etc/systemd/system"):
        (upper / name).mkdir()
    (upper / "etc/fstab").touch()
    for name, text in _UNITS.items():
        (upper / "etc/systemd/system" / name).write_text(text)
    shown = {kernel.modules: root / "modules"}
    shown |= {path: root / "cache" / path.relative_to(paths.cache().parent) for path in cached}
    for target in shown.values():
        target.mkdir(parents=True, exist_ok=True)
    binds = [f"mount --bind {shlex.quote(str(path))} {shlex.quote(str(at))}" for path, at in shown.items()]
    image = "truncate --size=10G ../disk.img && mkfs.ext4 -q -O ^has_journal -d . ../disk.img"
    # In a mount namespace of its own, which takes the mounts along when it ends.
    stage.command(["unshare", "--mount", "sh", "-euc", "; ".join([*binds, image])], cwd=root)


if __name__ == "__main__":
    if wanted := debian.missing(PACKAGES):
        debian.install(setup_stage("guest-packages"), wanted)
