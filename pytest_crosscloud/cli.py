"""The ``crosscloud`` command: what can be asked and done without running a test."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from .errors import ConfigurationError, CrosscloudError
from .redact import redact
from .suggest import among

#: As pytest has them, so that a script can treat both alike.
EXIT_FAILED, EXIT_USAGE = 1, 4
#: As a shell reports a program that Ctrl-C or a closed pipe ended: 128 and the signal's number.
EXIT_INTERRUPTED, EXIT_PIPE = 130, 141

#: Name, module of ``commands`` and summary. A module is imported when its command is given: help must be quick.
COMMANDS = (
    ("setup", "setup", "get the tools that runs need"),
    ("list", "listing", "show clouds and projects, and plugins that are broken"),
    ("doctor", "doctor", "say what is missing to use each cloud from here"),
    ("new", "new", "write the skeleton of a plugin package that passes its own tests"),
    ("plan", "plan", "show what a run would do, and do none of it"),
    ("refs", "refs", "say what stable and head are, and record new releases"),
    ("report", "report", "write a run's reports, however it ended"),
    ("repro", "repro", "repeat a failed cell from the bundle that it left"),
    ("rollback", "rollback", "install again what was green, by digest, and test it"),
    ("clean", "clean", "destroy what runs left behind"),
)

_EPILOG = """\
examples:
  crosscloud setup                                once, before the first run
  crosscloud list                                 what there is, and where it is declared
  crosscloud list projects --json                 the same for programs
  crosscloud doctor --clouds=local                what is missing to use it, and how to get it
  crosscloud plan --clouds=local --projects=coredns
                                                  what would be built, created and tested
  pytest -n auto --clouds=local --projects=coredns
                                                  do it

exit codes: 0 all right, 1 something failed, 4 wrong usage or configuration, 130 interrupted
"""


class _Parser(argparse.ArgumentParser):
    def options(self) -> list[str]:
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. A user's mistake is a message, never a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args, unknown = _parser(arguments).parse_known_args(arguments)
        if unknown:  # told by the command itself, with its own usage
            name = unknown[0].partition("=")[0]
            args.command.error(f"unknown argument {name!r}{among(name, args.command.options())}")
        code: int = args.main(args)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has gone (| head), and has what it wanted
        return EXIT_PIPE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except CrosscloudError as error:
        print(redact(f"crosscloud: error: {error}"), file=sys.stderr)
        return EXIT_USAGE if isinstance(error, ConfigurationError) else EXIT_FAILED
    return code


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="crosscloud",
        description="Projects × clouds, built, provisioned, deployed and tested by pytest; this is what is beside it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"crosscloud {metadata.version('pytest-crosscloud')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module, summary in COMMANDS:
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in arguments:
            implementation = importlib.import_module(f"{__package__}.commands.{module}")
            implementation.add_arguments(command)
            command.set_defaults(main=implementation.main, command=command)
    return parser
