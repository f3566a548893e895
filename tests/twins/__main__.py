"""Runs a twin: `python -m tests.twins` prints what a program needs in its environment to use it, then what happens.

SIGTERM or Ctrl-C ends it, with everything that it has made.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from pytest_crosscloud.model import Ref
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.testing.machines import local_network, served
from pytest_crosscloud.toolchain.node import node_bundle
from pytest_crosscloud.toolchain.pins import host_arch, load

from . import aws
from .twin import Twin

#: Seconds for the node bundle, where it has to be built.
_BUNDLE = 1800.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.twins", description=__doc__)
    parser.add_argument("--cidr", default="10.240.0.0/24", help="the instances' own network: the module's network_cidr")
    arguments = parser.parse_args()
    # From here on a signal is an exception: what was made is undone on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = StageContext("provision twin", "", directory, deadline=time.monotonic() + _BUNDLE)
        bundle = node_bundle(Ref("stable", load()["kubernetes"]["stable"]), host_arch(), stage)
        network = stack.enter_context(local_network(arguments.cidr))
        bundle_url = stack.enter_context(served(bundle.directory, network.gateway))
        twins: list[Twin] = []

        def answer(action: str, values: dict[str, str]) -> bytes | None:
            if action != "GetConsoleOutput" or not twins:
                return None
            return aws.console_output(values["InstanceId"], twins[0].console(values["InstanceId"]))

        emulator = stack.enter_context(aws.moto(directory, answer))
        twins.append(Twin(emulator, network))
        print(json.dumps({"environment": dict(emulator.environment), "bundle_url": bundle_url}), flush=True)
        twins[0].run()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
