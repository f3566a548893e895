"""Discovery of plugins, and what becomes of those that are broken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pytest_crosscloud import paths, plugins
from pytest_crosscloud.model import Cloud
from tests.samples import HEAD, write_clouds, write_projects


@pytest.fixture(autouse=True)
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundled data, empty but for what a test writes."""
    folder = tmp_path / "bundled"
    monkeypatch.setattr(paths, "data", lambda *parts: folder.joinpath(*parts))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def problems(root: Path) -> list[str]:
    return [str(problem).replace(f"{root.resolve()}/", "") for problem in plugins.load(root).problems]


# -- discovery ----------------------------------------------------------------------------------------------


def test_every_source_in_order(bundled: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clouds(bundled / "clouds/one.py", "name='bundled'")
    write_clouds(root / "clouds/two.py", "name='file'")
    write_clouds(root / "clouds/three/__init__.py", "name='folder'")
    conftest = write_clouds(root / "conftest.py", "name='conftest'")
    site = root / "site"
    write_clouds(site / "third_party_clouds.py", "name='distribution'")
    (site / "third-1.0.dist-info").mkdir()
    (site / "third-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: third\nVersion: 1.0\n")
    (site / "third-1.0.dist-info/entry_points.txt").write_text("[pytest_crosscloud]\nx = third_party_clouds\n")
    monkeypatch.syspath_prepend(site)

    loaded = plugins.load(root, [conftest])

    assert loaded.problems == ()
    assert list(loaded.clouds) == ["bundled", "folder", "file", "conftest", "distribution"]
    assert loaded.files["cloud", "folder"] == str((root / "clouds/three/__init__.py").resolve())


def test_projects_are_found_as_clouds_are(root: Path) -> None:
    write_projects(root / "projects/p.py", "name='p'")
    loaded = plugins.load(root)
    assert list(loaded.projects) == ["p"]
    assert loaded.clouds == {}


def test_a_file_is_loaded_once_in_the_repository_itself(bundled: Path) -> None:
    write_clouds(bundled / "clouds/one.py", "name='one'")
    assert plugins.load(bundled).problems == ()


def test_private_and_foreign_files_are_left_alone(root: Path) -> None:
    for name in ("clouds/_helper.py", "clouds/.hidden.py", "clouds/_folder/__init__.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1 / 0")
    (root / "clouds/e2e").mkdir()
    (root / "clouds/e2e/main.py").write_text("1 / 0")  # in a folder that is no package
    assert plugins.load(root).problems == ()


def test_a_package_imports_its_own_modules(root: Path) -> None:
    folder = write_clouds(root / "clouds/pkg/__init__.py", "name=NAME").parent
    (folder / "names.py").write_text("NAME = 'inner'")
    init = folder / "__init__.py"
    init.write_text("from .names import NAME\n" + init.read_text())
    assert list(plugins.load(root).clouds) == ["inner"]


def test_modules_do_not_shadow_others(root: Path) -> None:
    write_clouds(root / "clouds/json.py", "name='one'")
    write_projects(root / "projects/json.py", "name='two'")
    plugins.load(root)
    assert sys.modules["json"] is json


def test_a_conftest_without_hooks_is_no_plugin(root: Path) -> None:
    conftest = ModuleType("conftest")
    conftest.__file__ = str(root / "conftest.py")
    loaded = plugins.load(root, [conftest])
    assert loaded.sources()["conftests"] == []


def test_a_conftest_may_import_its_neighbours(root: Path) -> None:
    conftest = write_clouds(root / "conftest.py", "name=NAME")
    conftest.write_text("from neighbour_of_conftest import NAME\n" + conftest.read_text())
    (root / "neighbour_of_conftest.py").write_text("NAME = 'near'")
    before = list(sys.path)
    assert list(plugins.load(root, [conftest]).clouds) == ["near"]
    assert sys.path == before


def test_another_process_loads_the_same(root: Path) -> None:
    write_clouds(root / "clouds/one.py", "name='one'")
    conftest = write_projects(root / "conftest.py", "name='two'")
    sources = json.dumps(plugins.load(root, [conftest]).sources())
    script = (
        "import json, sys; from pytest_crosscloud import plugins; "
        "loaded = plugins.load_sources(json.loads(sys.argv[1])); print(*loaded.clouds, *loaded.projects)"
    )
    done = subprocess.run([sys.executable, "-c", script, sources], capture_output=True, text=True, check=True)
    assert {"one", "two"} <= set(done.stdout.split())


def test_a_later_plugin_is_asked_first_and_the_default_last(bundled: Path, root: Path) -> None:
    provision = "\n@hookimpl({})\ndef crosscloud_provision(request):\n    return {!r}\n"
    for path, options, answer in (
        (bundled / "clouds/a.py", "trylast=True", "bundled"),
        (root / "clouds/b.py", "", None),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(HEAD + provision.format(options, answer))

    class Request:
        class cloud:  # noqa: N801
            @staticmethod
            def provision(request: object) -> str:
                return "default"

    hook = plugins.load(root).hook
    assert hook.crosscloud_provision(request=Request) == "bundled"
    (bundled / "clouds/a.py").write_text("")
    assert plugins.load(root).hook.crosscloud_provision(request=Request) == "default"


# -- broken plugins -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("\n1 / 0", ":2: cannot be imported: ZeroDivisionError: division by zero"),
        ("x = (", ":1: cannot be imported: SyntaxError: '(' was never closed"),
        ("import no_such_module", ":1: cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", ":1: cannot be imported: SystemExit: 3"),
        (
            "from pytest_crosscloud import hookimpl\n@hookimpl\ndef crosscloud_cloud(): ...",
            ":2: there is no hook 'crosscloud_cloud'; did you mean 'crosscloud_clouds'?",
        ),
        (
            "def crosscloud_clouds(): ...",
            ":1: crosscloud_clouds is not marked with @hookimpl, so nothing calls it",
        ),
        (
            "from pytest_crosscloud import hookimpl\n@hookimpl\ndef crosscloud_build(requests): ...",
            ":2: crosscloud_build takes requests, which is no argument of the hook: it has request",
        ),
        (
            "from pytest_crosscloud import hookimpl\n@hookimpl\ndef crosscloud_clouds(config): return []",
            ":2: crosscloud_clouds takes config, which is no argument of the hook: it has none",
        ),
        (
            "from pytest_crosscloud import hookimpl\n@hookimpl(wrapper=True)\ndef crosscloud_build(request): ...",
            ": hookimpl definition: crosscloud_build(request); Declared as wrapper=True",
        ),
        (
            "from pytest_crosscloud import hookimpl\n@hookimpl(wrapper=True)\ndef crosscloud_clouds(): yield",
            ":2: crosscloud_clouds cannot be a wrapper",
        ),
        (
            "from pytest_crosscloud import hookimpl\n@hookimpl\ndef crosscloud_clouds():\n    return {}['x']",
            ":4: crosscloud_clouds raised KeyError: 'x'",
        ),
        (
            "from pytest_crosscloud import hookimpl\n@hookimpl\ndef crosscloud_clouds():\n    yield 1 / 0",
            ":4: crosscloud_clouds raised ZeroDivisionError",
        ),
        (
            "from pytest_crosscloud import hookimpl\n@hookimpl\ndef crosscloud_clouds(): return 'aws'",
            ":2: crosscloud_clouds returned 'aws', not a list of Cloud",
        ),
        (
            "from pytest_crosscloud import hookimpl\n@hookimpl\ndef crosscloud_clouds(): return ['aws']",
            ":2: crosscloud_clouds returned 'aws', which is not a Cloud",
        ),
    ],
)
def test_a_broken_plugin_is_named_and_the_others_go_on(root: Path, source: str, problem: str) -> None:
    write_clouds(root / "clouds/good.py", "name='good'")
    (root / "clouds/bad.py").write_text(source)
    assert list(plugins.load(root).clouds) == ["good"]
    [found] = problems(root)
    assert found.startswith(f"clouds/bad.py{problem}")


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("name='Aws'", "a name is a DNS label"),
        ("name='a' * 64", "a name is a DNS label"),
        ("name=None", "a name is a DNS label"),
        ("name='a', arch='amd64'", "arch is a tuple of at least one name, not 'amd64'"),
        ("name='a', arch=()", "arch is a tuple of at least one name, not ()"),
        ("name='a', arch=('x86 64',)", "arch has names such as"),
        ("name='a', active='no'", "active is True or False, not 'no'"),
        ("name='a', order='1'", "order is a whole number, not '1'"),
        ("name='a', display_name=1", "display_name is text, not 1"),
        ("name='a', variables=[]", "variables is a mapping, not []"),
    ],
)
def test_a_wrong_cloud(root: Path, spec: str, problem: str) -> None:
    write_clouds(root / "clouds/a.py", spec, "name='right'")
    assert list(plugins.load(root).clouds) == ["right"]
    [found] = problems(root)
    assert problem in found


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("name='p', build=1, chart='c'", "build is a build strategy, and 1 has no resolve"),
        ("name='p', build=Strategy(), chart=''", "chart is a name, a path or a reference, not ''"),
        ("name='p', build=Strategy(), chart='c', sub_title='x' * 22", "at most 21 characters, and this has 22"),
        (
            "name='p', build=Strategy(), chart='c', chosen_by='SPECS'",
            "chosen_by is a tuple of environment variables' names",
        ),
        ("name='p', build=Strategy(), chart='c', timeout=0", "timeout is a number of seconds above 0, not 0"),
        ("name='p', build=Strategy(), chart='c', stable_ref=1.1", "stable_ref is text, not 1.1"),
    ],
)
def test_a_wrong_project(root: Path, spec: str, problem: str) -> None:
    (root / "projects").mkdir()
    hook = f"\n@hookimpl\ndef crosscloud_projects():\n    return [Project({spec})]\n"
    (root / "projects/p.py").write_text(HEAD + hook)
    assert plugins.load(root).projects == {}
    [found] = problems(root)
    assert problem in found


def test_a_name_declared_twice_names_both_files(root: Path) -> None:
    first = write_clouds(root / "clouds/a.py", "name='same', order=1")
    second = write_clouds(root / "clouds/b.py", "name='same', order=2")
    loaded = plugins.load(root)
    assert loaded.clouds["same"] == Cloud(name="same", order=1)
    [problem] = loaded.problems
    assert problem.file == str(second.resolve())
    assert problem.reason == f"cloud 'same' is declared already in {first.resolve()}"


def test_an_argument_with_a_default_is_no_hook_argument(root: Path) -> None:
    plugin = write_clouds(root / "clouds/a.py", "name='a'")
    plugin.write_text(plugin.read_text().replace("crosscloud_clouds()", "crosscloud_clouds(mine=1)"))
    assert list(plugins.load(root).clouds) == ["a"]


def test_a_cloud_and_a_project_may_share_a_name(root: Path) -> None:
    write_clouds(root / "clouds/a.py", "name='same'")
    write_projects(root / "projects/a.py", "name='same'")
    assert plugins.load(root).problems == ()


def test_a_distribution_that_cannot_be_imported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = root / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pytest_crosscloud]\nx = no_such_module\n")
    monkeypatch.syspath_prepend(root)
    [problem] = plugins.load(root).problems
    assert str(problem) == (
        "broken, entry point x = no_such_module: cannot be imported:"
        " ModuleNotFoundError: No module named 'no_such_module'"
    )


def test_loading_imports_nothing_heavy(root: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pytest_crosscloud import plugins; plugins.load(Path(sys.argv[1])); "
        "print([name for name in ('pydantic', 'kubernetes', 'pyhelm3', 'rich', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
