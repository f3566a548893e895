"""For all of the repository's own tests."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

from pytest_crosscloud.toolchain import tools

# A pytest that a test starts is no worker of the one that runs the test.
for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
    os.environ.pop(name, None)

# Tests decide, benchmarks measure: a loaded computer fails no test.
settings.register_profile("crosscloud", deadline=None)
settings.load_profile("crosscloud")

# Tests that call Go call the one that runs would use: `crosscloud setup` puts it into the cache, not on PATH.
if (go := tools.find("go")) and shutil.which("go") != str(go.path):
    os.environ["PATH"] = f"{go.path.parent}:{os.environ.get('PATH', os.defpath)}"

#: Names a file to which what was left out is added: `make test` is several pytests, and says it at its end.
LEFT_OUT = "CROSSCLOUD_TESTS_LEFT_OUT"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    file = os.environ.get(LEFT_OUT)
    if file and not hasattr(config, "workerinput"):  # its controller has the workers' reports
        skipped = [report.longrepr for report in terminalreporter.stats.get("skipped", ())]
        reasons = Counter((path, reason.removeprefix("Skipped: ")) for path, _, reason in skipped)
        with Path(file).open("a") as lines:
            for (path, reason), count in sorted(reasons.items()):
                print(f"Left out: {count} of {os.path.relpath(path)}: {reason}", file=lines)
