"""Debian's programs that only tests need. `python -m tests.programs` installs those that are missing."""

from __future__ import annotations

import shutil

from pytest_crosscloud.errors import StageError
from pytest_crosscloud.toolchain import debian
from pytest_crosscloud.toolchain.console import Item
from pytest_crosscloud.toolchain.tools import setup_stage

#: What Chromium is called: by Debian, by others, and by those who rename it.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser() -> str | None:
    """The browser that tests look at pages with, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def missing() -> list[str]:
    """The packages whose programs are not there."""
    return debian.missing({"skopeo": "skopeo"} | ({} if browser() else {"chromium": "chromium"}))


def main() -> None:
    """Install them. Where that cannot be done, tests are left out, and say so; there is no reason to do without all."""
    if not (wanted := missing()):
        return
    stage = setup_stage("test-programs")
    with Item("for tests") as item:
        stage.on_progress = item.progress
        try:
            debian.install(stage, wanted)
            item.end("done", f"installed {' '.join(wanted)}")
        except StageError as error:
            item.end("left out", f"the tests with {' '.join(wanted)}: {error}\n  log: {stage.log}")


if __name__ == "__main__":
    main()
