"""The command line that terraform/local calls, and that people use to look into a machine."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from ..errors import CrosscloudError
from . import boot, disk, end, linux, network, records


def main(argv: list[str] | None = None) -> int:
    """:return: 0; 1 with the reason on standard error; or 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run_command(arguments)
    except CrosscloudError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pytest_crosscloud.machine", description=__doc__)
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("network-up", help="make a network: a bridge on this host; .1 is the gateway")
    command.add_argument("--name", required=True)
    command.add_argument("--cidr", required=True, help="a /24, e.g. 198.19.7.0/24")
    command.add_argument("--run", required=True)
    command.set_defaults(run_command=lambda a: network.up(a.name, a.cidr, a.run))

    command = commands.add_parser("network-down", help="remove a network")
    command.add_argument("--name", required=True)
    command.add_argument("--run", help="only if it belongs to this run")
    command.set_defaults(run_command=lambda a: network.down(a.name, run=a.run))

    command = commands.add_parser("up", help="start a machine")
    for option in ("name", "network", "address", "hostname", "run"):
        command.add_argument(f"--{option}", required=True)
    command.add_argument("--user-data", required=True, type=Path, help="file that cloud-init gets")
    command.add_argument("--disk-from", type=Path, help="directory of a kept disk to clone")
    command.set_defaults(run_command=_up)

    command = commands.add_parser("down", help="end a machine")
    command.add_argument("--name", required=True)
    command.add_argument("--run", help="only if it belongs to this run")
    command.add_argument("--keep-disk", action="store_true")
    command.set_defaults(run_command=lambda a: end.down(a.name, run=a.run, keep_disk=a.keep_disk))

    command = commands.add_parser("list", help="show machines")
    command.add_argument("--run")
    command.add_argument("--json", action="store_true")
    command.set_defaults(run_command=_list)

    command = commands.add_parser("exec", help="run a program in a machine")
    command.add_argument("name")
    command.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND …")
    command.set_defaults(run_command=_exec)

    command = commands.add_parser("console", help="show what systemd and cloud-init have said")
    command.add_argument("name")
    command.set_defaults(run_command=_console)
    return parser


def _up(arguments: argparse.Namespace) -> None:
    try:
        user_data = arguments.user_data.read_text()
    except OSError as error:
        raise CrosscloudError(f"user-data: {error}") from error
    boot.up(
        arguments.name,
        arguments.network,
        arguments.address,
        arguments.hostname,
        user_data,
        arguments.run,
        arguments.disk_from,
    )


def _list(arguments: argparse.Namespace) -> None:
    machines = records.machines(arguments.run)
    if arguments.json:
        print(json.dumps([machine.to_json() for machine in machines], indent=2))
        return
    for machine in machines:
        print(f"{machine.name:40} {machine.run:12} {machine.address:15} {machine.pid or 'half made'}")


def _exec(arguments: argparse.Namespace) -> None:
    """Become the program: its streams and its exit code are this command's."""
    machine = records.machine(arguments.name)
    if machine is None or linux.start_time(machine.pid) != machine.started or not machine.pid:
        raise CrosscloudError(f"no machine {arguments.name} runs", remedy="list shows those that do")
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    environment = {key: os.environ[key] for key in ("TERM", "LANG") if key in os.environ}
    environment |= {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    nsenter = ["nsenter", f"--target={machine.pid}", "--all", "--wd", "--", *(argv or ["/bin/bash", "-l"])]
    os.execvpe("nsenter", nsenter, environment)  # noqa: S606


def _console(arguments: argparse.Namespace) -> None:
    journal = disk.home(arguments.name) / "disk" / disk.JOURNAL
    if not journal.is_dir():
        raise CrosscloudError(f"no machine {arguments.name} here")
    sys.stdout.flush()
    os.execvp("journalctl", ["journalctl", f"--directory={journal}", "--no-pager", "--output=short-precise"])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
