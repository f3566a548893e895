"""For all of the repository's own tests."""

from __future__ import annotations

from hypothesis import settings

# Tests decide, benchmarks measure: a loaded computer fails no test.
settings.register_profile("crosscloud", deadline=None)
settings.load_profile("crosscloud")
