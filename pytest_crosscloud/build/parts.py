"""Projects of several parts: programs that are built and versioned one by one, pinned and tested together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..model import Artifacts, BuildRequest, BuildStrategy, Project, Ref
from . import cache, resolve


@dataclass(frozen=True, kw_only=True)
class Part:
    """One image of several. The fields are those of a Project, for this part alone."""

    build: BuildStrategy
    repository_url: str = ""
    #: tag that ``stable`` means, unless the project's own is ``auto``; empty or ``auto``: the newest release
    stable_ref: str = ""
    head_ref: str = ""  #: branch or tag that ``head`` means; empty: the newest served
    release_tags: str = ""  #: as a Project's; what it does not match, like another major version, is never the newest
    follows: bool = False  #: it comes from the first part's source, so it has the first part's version


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Several images, each with its own strategy and pin. The first one is the project: its version is the project's.

    The others are what the project is released with or tested beside. ``stable`` and ``head`` mean each part's own; a
    literal ref is the first part's, and the others are stable then. Where the project's stable is found out by each
    run, so is theirs.
    """

    parts: Mapping[str, Part]  #: by name; the pin of ``node-exporter`` is NODE_EXPORTER

    def resolve(self, project: Project, ref: str) -> Ref:
        first, *others = self.parts
        found = self.parts[first].build.resolve(project, ref)
        asked = ref if ref in (resolve.STABLE, resolve.HEAD) else resolve.STABLE
        versions = {
            name: self.parts[name].build.resolve(_as_project(project, name, self.parts[name]), asked)
            for name in others
            if not self.parts[name].follows
        }
        return replace(found, parts=versions)

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        return cache.fingerprint("parts", *self.fingerprints(project, ref, arch))

    def fingerprints(self, project: Project, ref: Ref, arch: str) -> list[str]:
        """Of each part."""
        return [each.build.fingerprint(own, its, arch) for each, own, its in self._of(project, ref)]

    def build(self, request: BuildRequest) -> Artifacts:
        made = [
            part.build.build(replace(request, project=own, ref=its))
            for part, own, its in self._of(request.project, request.ref)
        ]
        return Artifacts(
            request.project.name,
            request.ref,
            request.arch,
            tuple(pin for each in made for pin in each.pins),
            cached=all(each.cached for each in made),
        )

    def _of(self, project: Project, ref: Ref) -> list[tuple[Part, Project, Ref]]:
        """Each part, as a project of its own, at its version."""
        first = next(iter(self.parts))
        return [
            (part, replace(project, name=name), ref)
            if name == first
            else (part, _as_project(project, name, part), ref.parts.get(name, ref))
            for name, part in self.parts.items()
        ]


def _as_project(project: Project, name: str, part: Part) -> Project:
    return replace(
        project,
        name=name,
        repository_url=part.repository_url,
        # The newest release, beside programs that stay as old as their plugin, is what nobody installs.
        stable_ref=project.stable_ref and part.stable_ref,
        head_ref=part.head_ref,
        release_tags=part.release_tags,
    )
