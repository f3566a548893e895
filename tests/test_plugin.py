"""What the plugin costs a pytest that selects no cloud, and what it says of itself."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_crosscloud import hookspecs

#: Each costs a worker tens of megabytes or hundreds of milliseconds (measured; see docs/benchmarks.md).
HEAVY = {"kubernetes", "pyhelm3", "pydantic", "cryptography", "jinja2", "rich", "yaml", "sqlite3", "allure_commons"}

HOOKS = [name for name in vars(hookspecs) if name.startswith("crosscloud_")]


def imported(code: str) -> set[str]:
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    return set(output.split())


def test_the_plugin_imports_nothing_heavy() -> None:
    assert not imported("import pytest_crosscloud.plugin") & (HEAVY - imported("import pytest"))


def test_a_pytest_that_selects_no_cloud_imports_nothing_of_a_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_plain():
            loaded = {name for name in sys.modules if name.startswith("pytest_crosscloud.")}
            assert loaded <= {"pytest_crosscloud.plugin"}, loaded
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_cli_s_help_imports_nothing_heavy() -> None:
    assert not imported("import pytest_crosscloud.cli") & (HEAVY - {"yaml"})


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    function = getattr(hookspecs, hook)
    assert inspect.getdoc(function)
    text = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text()
    assert f"`{hook}`" in text, f"docs/plugins.md says nothing of {hook}"


def test_options_and_fixtures_explain_themselves(pytester: pytest.Pytester) -> None:
    text = pytester.runpytest_subprocess("--help").stdout.str()
    for option in (
        "--clouds",
        "--projects",
        "--refs",
        "--kubernetes",
        "--arch",
        "--crosscloud-config",
        "--keep-failed",
    ):
        assert option in text
    fixtures = pytester.runpytest_subprocess("--fixtures").stdout.str()
    for fixture in ("artifacts", "cluster", "release", "e2e", "pipeline"):
        assert f"{fixture} [session scope]" in fixtures
