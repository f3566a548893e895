"""``crosscloud new``: the skeleton of a cloud's or a project's plugin package, which passes its own tests at once."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from .. import paths, plugins
from ..declared import DNS_LABEL
from ..errors import ConfigurationError

_SKELETONS = Path(__file__).resolve().parents[1] / "skeletons"

#: What every module has, under the names that it has there.
_COMMON = {"interface.tf": "variables.tf", "outputs.tf": "outputs.tf"}

_NEXT = {
    "cloud": """\
next:
  cd {directory}
  pip install -e . && pytest        passes already; with -m slow, as root, its nodes become a cluster here
  crosscloud doctor --clouds={name}
then follow the TODOs in {package}: the provider and its resources in module/main.tf; credentials,
regions and sizes in __init__.py. docs/clouds.md of pytest-crosscloud leads through it.""",
    "project": """\
next:
  cd {directory}
  pip install -e . && pytest        passes already
  pytest --clouds=local --projects={name} --refs=stable
then follow the TODOs in {package}: what is built in __init__.py, how it is installed in chart/, what is
tested in e2e/.""",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=tuple(_NEXT))
    parser.add_argument("name", metavar="NAME", help="what --clouds or --projects takes, e.g. hetzner")
    parser.add_argument(
        "--directory",
        metavar="DIR",
        type=Path,
        help="where to; default: pytest-crosscloud-NAME, here. Must not be there",
    )
    parser.epilog = "Nothing is ever overwritten. exit codes: 0 written, 4 a wrong name, or something is there already"


def main(args: argparse.Namespace) -> int:
    check_name(args.name)
    _check_free(args.kind, args.name)
    directory: Path = args.directory or Path(f"pytest-crosscloud-{args.name}")
    for path in write(args.kind, args.name, directory):
        print(path)
    package = f"pytest_crosscloud_{identifier(args.name)}"
    print(_NEXT[args.kind].format(directory=directory, name=args.name, package=package), file=sys.stderr)
    return 0


def check_name(name: str) -> None:
    """:raises ConfigurationError: it can be no name of a cloud or project, or of a package."""
    if not DNS_LABEL.fullmatch(name) or not name[0].isalpha():
        nearest = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")
        raise ConfigurationError(
            f"{name!r} is no name for a cloud or project: a letter, then a-z, 0-9 and '-', at most 63 in all",
            remedy=f"{nearest} is one" if nearest and DNS_LABEL.fullmatch(nearest) else "",
        )


def _check_free(kind: str, name: str) -> None:
    """:raises ConfigurationError: a plugin that is here declares one of this name, and would come first."""
    known = plugins.load(Path())
    if name in (known.clouds if kind == "cloud" else known.projects):
        raise ConfigurationError(
            f"there is a {kind} {name!r} already: {known.files[kind, name]}",
            remedy=f"{name}-{{something}} is free, or change its settings in cross-cloud.yml: {kind}s.{name}",
        )


def identifier(name: str) -> str:
    """The name as Python writes names."""
    return name.replace("-", "_")


def write(kind: str, name: str, directory: Path) -> Iterator[Path]:
    """Write the package; yields each file, when it is there.

    :raises ConfigurationError: there is something at ``directory`` already, or it cannot be written.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigurationError(f"{directory} is there already", remedy="--directory names another place")
    tokens = {
        "xcname": name,
        "xcpackage": identifier(name),
        "xctitle": name.replace("-", " ").title(),
        "XCENV": identifier(name).upper(),
    }
    source = _SKELETONS / kind
    try:
        for path in sorted(source.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                text = path.read_text(encoding="utf-8")
                yield _write(directory / _filled(str(path.relative_to(source)), tokens), _filled(text, tokens))
        if kind == "cloud":
            module = directory / f"pytest_crosscloud_{identifier(name)}" / "module"
            for file, common in _COMMON.items():
                text = paths.data("terraform", "modules", "interface", common).read_text(encoding="utf-8")
                yield _write(module / file, text)
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be written: {error.strerror}") from error


def _filled(text: str, tokens: dict[str, str]) -> str:
    for token, value in tokens.items():
        text = text.replace(token, value)
    return text


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
