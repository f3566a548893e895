"""``crosscloud repro``: repeats a failed cell from the bundle that it left, and says whether it fails again."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..repro import bundle

#: Where a repetition reports, unless told: not where the run did that its bundle may lie in.
OUT = "reports/repro"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="bundle.tar.gz of a failed cell")
    parser.add_argument("--cloud", metavar="NAME", help="repeat it on this cloud (default: the local one)")
    parser.add_argument(
        "--out", metavar="DIR", default=OUT, help=f"where its reports go (default: {OUT} in the rootdir)"
    )
    keep = "as pytest's: a cluster with a failure stays for TIME (default 2h)"
    parser.add_argument("--keep-failed", nargs="?", const="", metavar="TIME", help=keep)
    parser.add_argument("--registry", metavar="HOST", help="as pytest's: push the images there")
    parser.epilog = (
        "Runs pytest over the one cell, with the images, the chart, the values and the e2e container that failed, on\n"
        "the Kubernetes version that they failed on; a plugin that declares the project need not be there. The last\n"
        "line says whether the same failure came again.\n"
        "exit codes: pytest's: 0 it passed, 1 it failed again, 4 the bundle is damaged, too new, or not there"
    )


def main(args: argparse.Namespace) -> int:
    bundle.read(args.bundle)  # what is wrong with it is told before pytest begins
    command = [sys.executable, "-m", "pytest", "--override-ini=addopts=", f"--bundle={args.bundle.absolute()}"]
    command.append(f"--crosscloud-out={args.out}")
    command += [f"--clouds={args.cloud}"] if args.cloud else []
    command += [f"--registry={args.registry}"] if args.registry else []
    if args.keep_failed is not None:
        command.append(f"--keep-failed={args.keep_failed}" if args.keep_failed else "--keep-failed")
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - pytest is what runs from here: its signals, its exit code
