"""Finds plugins and asks them what they declare; one that is broken is named, and the others go on.

Discovery, in this order: bundled clouds and projects, ``clouds/`` and ``projects/`` under the rootdir, conftest.py
files with crosscloud hookimpls, distributions with an entry point in group ``pytest_crosscloud``. As in pytest, what
is found later is asked first, so that a user's hook comes before a bundled one.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from . import declared, defaults, hookspecs, paths
from .declared import Problem, Spec
from .model import Cloud, Project
from .redact import add_secret
from .suggest import among

ENTRY_POINT_GROUP = "pytest_crosscloud"

_FOLDERS = ("clouds", "projects")
_HOOKS = tuple(name for name in dir(hookspecs) if name.startswith("crosscloud_"))


@dataclass(frozen=True)
class Plugins:
    """The plugins of a process, and what they declare."""

    rootdir: Path
    manager: pluggy.PluginManager
    clouds: Mapping[str, Cloud]  #: by name, in the order of discovery
    projects: Mapping[str, Project]  #: by name, in the order of discovery
    files: Mapping[tuple[str, str], str]  #: the file that declares ``("cloud" | "project", name)``
    problems: tuple[Problem, ...]
    conftests: tuple[Path, ...]  #: those with crosscloud hookimpls

    @property
    def hook(self) -> pluggy.HookRelay:
        """Call hooks here: ``plugins.hook.crosscloud_build(request=request)``."""
        return self.manager.hook

    def sources(self) -> dict[str, Any]:
        """JSON-able: what ``load_sources`` needs to load the same plugins in another process."""
        return {"rootdir": str(self.rootdir), "conftests": [str(path) for path in self.conftests]}


def load_sources(sources: Mapping[str, Any]) -> Plugins:
    """Load the plugins that ``Plugins.sources`` recorded in another process."""
    return load(Path(sources["rootdir"]), [Path(path) for path in sources["conftests"]])


def load(rootdir: Path, conftests: Iterable[ModuleType | Path] = ()) -> Plugins:
    """Find and load all plugins. Never raises because of a plugin: see ``Plugins.problems``.

    :param conftests: conftest.py files: modules that pytest has imported, or paths. Those without a crosscloud
        hookimpl are left alone.
    """
    loader = _Loader(rootdir.resolve())
    for path in _files((paths.data(), rootdir)):
        loader.add_file(path)
    for conftest in conftests:
        loader.add_conftest(conftest)
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        loader.add_entry_point(entry_point)
    # Last and trylast: even a plugin's own trylast implementation comes before the framework's.
    loader.manager.register(defaults, "crosscloud-defaults")
    return loader.plugins()


def _files(roots: Iterable[Path]) -> Iterator[Path]:
    """Plugin files in clouds/ and projects/ of each root, once each: in the repository, the roots are the same."""
    seen = set()
    for folder in (root / name for root in roots for name in _FOLDERS):
        for path in sorted((*folder.glob("*.py"), *folder.glob("*/__init__.py"))):
            name = path.parent.name if path.name == "__init__.py" and path.parent != folder else path.name
            resolved = path.resolve()
            if not name.startswith(("_", ".")) and resolved not in seen:
                seen.add(resolved)
                yield resolved


@dataclass
class _Loader:
    rootdir: Path
    manager: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager("crosscloud"))
    problems: list[Problem] = field(default_factory=list)
    conftests: list[Path] = field(default_factory=list)
    files: dict[tuple[str, str], str] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)  #: what to call a plugin in messages, by its id()

    def __post_init__(self) -> None:
        self.manager.add_hookspecs(hookspecs)

    # -- finding --------------------------------------------------------------------------------------------

    def add_file(self, path: Path) -> None:
        if module := self._import(path):
            self._register(module, str(path))

    def add_conftest(self, conftest: ModuleType | Path) -> None:
        if isinstance(conftest, Path):
            # pytest puts a conftest's folder on sys.path (rootdir/conftest.py and its helpers rely on that).
            with _on_sys_path(conftest.parent):
                module = self._import(conftest)
        else:
            module = conftest
        if module and (self._hook_names(module) or self._unmarked(module)):
            path = Path(module.__file__ or "conftest.py").resolve()
            self.conftests.append(path)
            self._register(module, str(path))

    def add_entry_point(self, entry_point: importlib.metadata.EntryPoint) -> None:
        try:
            plugin = entry_point.load()
        except (Exception, SystemExit) as error:
            distribution = entry_point.dist.name if entry_point.dist else "an unknown distribution"
            where = f"{distribution}, entry point {entry_point.name} = {entry_point.value}"
            self.problems.append(Problem(where, f"cannot be imported: {declared.describe(error)}"))
            return
        self._register(plugin, sys.modules[entry_point.module].__file__ or entry_point.value)

    def _import(self, path: Path) -> ModuleType | None:
        # A name of its own in sys.modules: clouds/kind.py of two roots, or a project called "json", must not clash.
        package = path.name == "__init__.py"
        stem = path.parent.name if package else path.stem
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
        name = f"crosscloud_plugin_{stem.replace('.', '_')}_{digest}"
        locations = [str(path.parent)] if package else None
        spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=locations)
        assert spec and spec.loader  # given for every path that ends in .py
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            self.problems.append(
                Problem(str(path), f"cannot be imported: {declared.describe(error)}", declared.line_of(error, path))
            )
            return None
        return module

    # -- registering ----------------------------------------------------------------------------------------

    def _hook_names(self, plugin: object) -> dict[str, str]:
        """The hook that each marked function of a plugin implements, by the function's name."""
        options = {name: self.manager.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
        return {name: found.get("specname") or name for name, found in options.items() if found is not None}

    def _unmarked(self, plugin: object) -> list[str]:
        """Functions that bear a hook's name and lack ``@hookimpl``."""
        return [name for name in dir(plugin) if name in _HOOKS and not self.manager.parse_hookimpl_opts(plugin, name)]

    def _register(self, plugin: object, label: str) -> None:
        wrong = list(self._wrong(plugin))
        problems = [Problem(label, reason, declared.first_line(getattr(plugin, name))) for name, reason in wrong]
        if not problems:
            try:
                self.manager.register(plugin, label)
            except ValueError:
                return  # the same module was found before, e.g. an entry point that points into the rootdir
            except pluggy.PluginValidationError as error:
                self.manager.unregister(name=label)
                problems.append(Problem(label, "; ".join(str(error).splitlines()[1:])))
        self.problems += problems
        self.labels[id(plugin)] = label

    def _wrong(self, plugin: object) -> Iterator[tuple[str, str]]:
        """Functions that cannot be hook implementations, and why."""
        for name in self._unmarked(plugin):
            yield name, f"{name} is not marked with @hookimpl, so nothing calls it"
        for name, hook in self._hook_names(plugin).items():
            if hook not in _HOOKS:
                yield name, f"there is no hook {hook!r}{among(hook, _HOOKS)}"
                continue
            known = getattr(self.manager.hook, hook).spec.argnames
            given = inspect.signature(getattr(plugin, name)).parameters.values()
            # What has a default is the plugin's own affair, as it is for pluggy.
            needed = [one.name for one in given if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
            if unknown := [argument for argument in needed if argument not in known]:
                has = f"it has {', '.join(known)}" if known else "it has none"
                yield name, f"{name} takes {', '.join(unknown)}, which is no argument of the hook: {has}"

    # -- asking ---------------------------------------------------------------------------------------------

    def plugins(self) -> Plugins:
        clouds = self._declared(self.manager.hook.crosscloud_clouds, Cloud)
        for credential in (found for cloud in clouds.values() for found in cloud.credentials if found.secret):
            add_secret(os.environ.get(credential.name, ""))
        projects = self._declared(self.manager.hook.crosscloud_projects, Project)
        return Plugins(
            self.rootdir, self.manager, clouds, projects, self.files, tuple(self.problems), tuple(self.conftests)
        )

    def _declared(self, hook: pluggy.HookCaller, wanted: type[Spec]) -> dict[str, Spec]:
        found: dict[str, Spec] = {}
        kind = wanted.__name__.lower()
        for implementation in hook.get_hookimpls():  # one by one: an error must not stop the others
            label = self.labels[id(implementation.plugin)]
            specs, problems = declared.ask(implementation, wanted, label)
            self.problems += problems
            for spec in specs:
                if spec.name in found:
                    reason = f"{kind} {spec.name!r} is declared already in {self.files[kind, spec.name]}"
                    self.problems.append(Problem(label, reason, declared.first_line(implementation.function)))
                else:
                    found[spec.name] = spec
                    self.files[kind, spec.name] = label
        return found


@contextmanager
def _on_sys_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
