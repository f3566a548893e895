"""For all of the repository's own tests."""

from __future__ import annotations

import os

from hypothesis import settings

# A pytest that a test starts is no worker of the one that runs the test.
for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
    os.environ.pop(name, None)

# Tests decide, benchmarks measure: a loaded computer fails no test.
settings.register_profile("crosscloud", deadline=None)
settings.load_profile("crosscloud")
