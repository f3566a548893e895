"""The conformance suite of a Kubernetes version, and what its specs run, compiled from that version's source."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from .. import paths
from ..model import Ref
from ..stage import StageContext
from . import nodebuild
from .cached import made
from .gobuild import go, go_build, go_test_program
from .pins import host_arch

#: Raised when what is made changes although its sources do not.
_FORMAT = 2

#: Its test program has all of Kubernetes' e2e specs; those of the conformance suite are marked.
SUITE = f"{nodebuild.KUBERNETES}/test/e2e"

_SOURCES = Path(__file__).with_name("suitesrc")
_MANIFEST = "suite.json"

#: What runs the suite in several processes, what some specs call, and what nearly all of their pods run.
_PROGRAMS = (
    "github.com/onsi/ginkgo/v2/ginkgo",
    f"{nodebuild.KUBERNETES}/cmd/kubectl",
    f"{nodebuild.KUBERNETES}/test/images/agnhost",
)


#: The certificate, and its key, of a server in agnhost: it looks for them in the image's root.
PORTER = ("localhost.crt", "localhost.key")


@dataclass(frozen=True)
class Suite:
    """A directory of the cache with the program ``e2e.test``, and with ``ginkgo``, ``kubectl``, ``agnhost``, ``pause``
    and ``nc`` that it is run with."""

    directory: Path
    image_names: tuple[str, ...]  #: that its specs run, ``registry.k8s.io/e2e-test-images/agnhost:2.63.0``

    def program(self, name: str) -> Path:
        return self.directory / name


def conformance_suite(kubernetes: Ref, arch: str, stage: StageContext) -> Suite:
    """The suite of a Kubernetes version, made once and kept in the cache.

    :raises StageError: (class configuration) the proxy serves no such version; (class product) it does not compile.
    """
    label = f"conformance suite {kubernetes.version}"
    key = fingerprint(kubernetes, arch)
    directory = made(stage, "conformance", key, label, lambda into: _make(stage, kubernetes.version, arch, label, into))
    return Suite(directory, tuple(json.loads((directory / _MANIFEST).read_text())["images"]))


def fingerprint(kubernetes: Ref, arch: str) -> str:
    """Of all that a suite is made from."""
    files = sorted(path for path in _SOURCES.rglob("*") if path.is_file())
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    inputs = [_FORMAT, kubernetes.version, arch, sources, _PROGRAMS]
    return f"{kubernetes.version}-{arch}-{hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:12]}"


def is_kept(kubernetes: Ref, arch: str) -> bool:
    return paths.cache("conformance", fingerprint(kubernetes, arch)).is_dir()


def _make(stage: StageContext, version: str, arch: str, label: str, directory: Path) -> None:
    with nodebuild.module(stage, version, label, sorted(_SOURCES.glob("*.go"))) as (module, ldflags):
        go_build(stage, module, _PROGRAMS, directory, arch=arch, ldflags=ldflags, label=label)
        go_test_program(stage, module, SUITE, directory / "e2e.test", arch=arch, ldflags=ldflags, label=label)
        images = module / "images"
        go_build(stage, module, ".", images, arch=host_arch(), ldflags="-s -w", label=f"{label}: its images")
        listed = stage.command([str(images)])
        source = go(stage, module, "list", "-m", "-f", "{{.Dir}}", nodebuild.KUBERNETES).output.strip()
        for name in PORTER:
            shutil.copy(Path(source, "test/images/agnhost/porter", name), directory)
    nodebuild.build_pause(stage, arch, directory / "pause")
    go_build(stage, _SOURCES / "nc", ".", directory / "nc", arch=arch, ldflags="-s -w", label="nc")
    (directory / _MANIFEST).write_text(json.dumps({"images": sorted(set(listed.output.split()))}))
