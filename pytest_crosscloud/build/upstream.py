"""Takes over the images that a project's own CI pushed: nothing is built, the tag is pinned to its digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import OutOfReach, StageError
from ..model import Artifacts, BuildRequest, ErrorClass, Pin, Project, Ref
from ..stage import StageContext
from . import cache, resolve
from .distribution import RegistryUnreachable, Repository


@dataclass(frozen=True, kw_only=True)
class UpstreamBuild:
    """Images of a registry, by the tags that a project gives them. Clusters pull them from there."""

    images: Mapping[str, str]  #: repository by the pin's name: ``{"FLUENTD": "docker.io/fluent/fluentd"}``
    tag: str = "{version}"  #: the tag of a version; ``{number}`` is the version without its v
    head: str = "latest"  #: the tag of the newest state, whichever commit that is; empty: the newest release

    def resolve(self, project: Project, ref: str) -> Ref:
        """Find out what ``ref`` is today.

        :raises OutOfReach: the registry cannot be asked.
        :raises StageError: (class configuration) it has no such tag, or refuses to say.
        """
        repository = self._repositories()[0]
        with _in_reach():
            version, note = ref, ""
            if ref == resolve.HEAD:
                version = self.head or resolve.newest(repository.tags(), project.release_tags)
                note = f"tag {version} of {repository}"
            elif ref == resolve.STABLE:
                version = project.stable_ref or resolve.newest(repository.tags(), project.release_tags)
            if not version or repository.digest(self._tag(version)) is None:
                raise resolve.no_such_ref(project, version or ref, repository.tags(), f"{repository} has no such tag")
        return Ref(ref, version, note=note)

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        return cache.fingerprint("upstream", dict(self.images), self._tag(ref.version), arch)

    def build(self, request: BuildRequest) -> Artifacts:
        tag = self._tag(request.ref.version)
        pins = []
        for name, repository in zip(self.images, self._repositories(), strict=True):
            request.stage.progress(f"looking up {repository}:{tag}")
            with _in_reach():
                digest = repository.digest(tag, request.stage)
                if digest is None:
                    raise StageError(f"{repository} has no tag {tag}", error_class=ErrorClass.CONFIGURATION)
                _check_arch(repository, digest, request.arch, request.stage)
            request.stage.write(f"{repository}:{tag} {digest}")
            pins.append(Pin(name=name, image=str(repository), tag=tag, digest=digest))
        return Artifacts(request.project.name, request.ref, request.arch, tuple(pins))

    def _repositories(self) -> list[Repository]:
        return [Repository.parse(image) for image in self.images.values()]

    def _tag(self, version: str) -> str:
        return version if version == self.head else self.tag.format(version=version, number=version.removeprefix("v"))


@contextmanager
def _in_reach() -> Iterator[None]:
    """A project's own registry that cannot be asked is nobody's failure: its images were not tried.

    :raises OutOfReach: so it is. A registry that does answer, if only that it is overloaded, is worth another attempt.
    """
    try:
        yield
    except RegistryUnreachable as error:
        message = f"registry unreachable: {error.host}: {error.reason}"
        raise OutOfReach(message, remedy=error.remedy, is_final=not error.answers) from error


def _check_arch(repository: Repository, digest: str, arch: str, stage: StageContext) -> None:
    """An image for another architecture would fail on the node as `exec format error`; say it here."""
    index = repository.manifest(digest, stage)
    offered = {entry.get("platform", {}).get("architecture", "") for entry in index.get("manifests", [])}
    if offered and arch not in offered:
        known = ", ".join(sorted(offered - {"", "unknown"}))
        raise StageError(f"{repository} has no image for {arch}, only {known}", error_class=ErrorClass.CONFIGURATION)
