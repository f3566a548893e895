"""``crosscloud rollback``: installs again what was green, by digest, and tests it."""

from __future__ import annotations

import argparse
import os
import sys

from ..run import rollback
from ..run.store import open_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--cloud", metavar="NAME", required=True, help="where it was green, and is installed again")
    parser.add_argument(
        "--to",
        metavar="RUN",
        default=rollback.LAST_SUCCESS,
        help="last-success (default), or the run to take it from, by its id or the beginning of that",
    )
    parser.add_argument("--ref", metavar="REF", default="", help="stable, head or a version, where a run has several")
    parser.add_argument("--kubernetes", metavar="REF", help="Kubernetes version (default: the one it was green on)")
    keep = "as pytest's: a cluster with a failure stays for TIME (default 2h)"
    parser.add_argument("--keep-failed", nargs="?", const="", metavar="TIME", help=keep)
    reuse = "as pytest's: on a cluster of the pool, if there is one"
    parser.add_argument("--reuse-clusters", nargs="?", const="", metavar="TIME", help=reuse)
    parser.add_argument("--registry", metavar="HOST", help="as pytest's: where the images are")
    parser.add_argument("--out", metavar="DIR", help="where its reports go (default: reports/out in the rootdir)")
    parser.epilog = (
        "Runs pytest over one cell: on a new cluster of the cloud (with --cloud=existing, on the one that is there),\n"
        "with the images and the e2e container that were green, by their digests; chart and values are of today.\n"
        "A release that somebody else installed is never touched.\n"
        "exit codes: pytest's: 0 it is green, 1 it is not, 4 wrong usage, or there was no green cell"
    )


def main(args: argparse.Namespace) -> int:
    store = open_store()
    green = rollback.find(store, args.to, args.project, args.cloud, ref=args.ref)
    store.close()
    print(f"crosscloud: {green.ref.note}", flush=True)
    command = [sys.executable, "-m", "pytest", "--override-ini=addopts=", f"--rollback={green.name}"]
    command += [f"--clouds={args.cloud}", f"--projects={args.project}"]
    for name, value in (("kubernetes", args.kubernetes), ("registry", args.registry), ("crosscloud-out", args.out)):
        command += [f"--{name}={value}"] if value else []
    for name, value in (("keep-failed", args.keep_failed), ("reuse-clusters", args.reuse_clusters)):
        if value is not None:
            command.append(f"--{name}={value}" if value else f"--{name}")
    os.execv(command[0], command)  # noqa: S606 - pytest is what runs from here: its signals, its exit code
