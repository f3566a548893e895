"""The generated module from which a module of others is built, and whether all that it requires is served."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from ..model import ErrorClass
from ..stage import StageContext
from ..toolchain.gobuild import go
from ..toolchain.tools import tool

#: Settings with which images are built. GOFLAGS of the user may hold -mod=vendor, and a go.work may lie above.
_SETTINGS = {"GOFLAGS": "", "GOWORK": "off", "GOOS": "linux", "CGO_ENABLED": "0"}

# What go says of a module that is not served (client errors but 429, and files that are not there).
_NOT_SERVED = re.compile(r"(\S+@v\S+): reading \S+: ((?!429)4\d\d [A-Z]\w+(?: \w+)?|.*no such file or directory)")


def wrapper(
    go_mod: Mapping[str, Any], version: str, source: str = "", requires: Mapping[str, str] = MappingProxyType({})
) -> str:
    """A go.mod that requires a module at a version and repeats what only a main module may say.

    :param go_mod: the module's own go.mod, as ``go mod edit -json`` prints it. Replacements by a directory are left
        out: the proxy serves one module, without the directories of its neighbours.
    :param source: a directory that the module is taken from, in place of what the proxy serves.
    :param requires: versions by module; the newer one counts of each and what the modules themselves require.
    """
    module = go_mod["Module"]["Path"]
    lines = ["module crosscloud.invalid/wrapper", ""]
    lines += [f"go {go_mod['Go']}", ""] if "Go" in go_mod else []
    lines += [f"godebug {setting['Key']}={setting['Value']}" for setting in go_mod.get("GoDebug") or ()]
    lines += [f"require {module} {version}"]
    lines += [f"require {required} {least}" for required, least in requires.items()]
    lines += [f"exclude {excluded['Path']} {excluded['Version']}" for excluded in go_mod.get("Exclude") or ()]
    for replaced in go_mod.get("Replace") or ():
        old, new = replaced["Old"], replaced["New"]
        if "Version" in new:
            left = " ".join((old["Path"], old.get("Version", ""))).strip()
            lines.append(f"replace {left} => {new['Path']} {new['Version']}")
    lines += [f"replace {module} => {source}"] if source else []
    return "\n".join(lines) + "\n"


def prepare(
    stage: StageContext,
    directory: Path,
    module: str,
    version: str,
    package: str,
    arch: str,
    *,
    tags: str = "",
    generated: Mapping[str, str] = MappingProxyType({}),
    requires: Mapping[str, str] = MappingProxyType({}),
    tests: bool = False,
) -> str:
    """Write a wrapper into an empty directory, and fetch every module that the package needs; return its import path.

    :param generated: files that are added to the module, by their paths in it.
    :param requires: least versions of modules that it needs, by module.
    :param tests: fetch what the package's tests need, too.
    :raises StageError: class infrastructure, or product once the module itself is there.
    """
    wanted, path = f"{module}@{version}", str(PurePosixPath(module, package))
    stage.progress(f"fetching {module} {version}")
    go(stage, directory, "mod", "download", wanted)  # for its errors: with -json they are hidden in JSON
    fetched = json.loads(go(stage, directory, "mod", "download", "-json", wanted).output)
    go_mod = json.loads(go(stage, directory, "mod", "edit", "-json", fetched["GoMod"]).output)
    source = _with_generated(fetched["Zip"], directory, wanted, generated) if generated else ""
    _write_wrapper(directory, go_mod, version, Path(fetched["Dir"]), source, requires)

    downloads = 0

    def downloading(line: str) -> None:
        nonlocal downloads
        if line.startswith("go: downloading "):
            downloads += 1
            stage.progress(f"fetching module {downloads}: {line.split()[2]}")

    # Fetches every module that the program needs, and writes the sums that go.sum lacks.
    listing = ["list", "-mod=mod", "-deps", f"-test={tests}".lower(), "-f", "{{.ImportPath}}", f"-tags={tags}", path]
    env = {"GOOS": "linux", "GOARCH": arch, "CGO_ENABLED": "0"}
    go(stage, directory, *listing, env=env, on_line=downloading, error_class=ErrorClass.PRODUCT)
    return path


def fetch(stage: StageContext, module: str, version: str) -> Path:
    """The module's own files at a version, where Go keeps them: nobody may write there.

    :raises StageError: it is not served.
    """
    stage.progress(f"fetching {module} {version}")
    with tempfile.TemporaryDirectory(prefix="crosscloud-") as directory:
        done = go(stage, Path(directory), "mod", "download", "-json", f"{module}@{version}")
    return Path(json.loads(done.output)["Dir"])


def _with_generated(archive: str, directory: Path, wanted: str, generated: Mapping[str, str]) -> str:
    """Unpack the module beside the wrapper, where files can be added: Go refuses overlays over its own cache."""
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(directory)
    source = directory / wanted
    for name, content in generated.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return f"./{wanted}"


def _write_wrapper(
    directory: Path,
    go_mod: Mapping[str, Any],
    version: str,
    served: Path,
    source: str = "",
    requires: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the wrapper's go.mod, and the go.sum of the module, which was unpacked in ``served``."""
    (directory / "go.mod").write_text(wrapper(go_mod, version, source, requires))
    if (sums := served / "go.sum").exists():
        (directory / "go.sum").write_bytes(sums.read_bytes())


def unserved(module: str, version: str, package: str, tags: str, deadline: float) -> str:
    """Which modules a version's package needs that the proxy refuses: ``example.test/a@v1.0.0 (403 Forbidden)``.

    Fetches the others, which the build needs anyway; asked again, it takes a second or two. Empty: all are served, or
    it cannot be told, and the build will say what is wrong.

    :param deadline: of ``time.monotonic()``.
    :raises TimeoutError: it could not be told until then.
    """
    with tempfile.TemporaryDirectory(prefix="crosscloud-") as directory:
        try:
            said = _complaints(Path(directory), module, version, package, tags, deadline)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{module}@{version}: {error}") from error
        except ValueError:
            return ""
    refused = dict(_NOT_SERVED.findall(said))
    if not refused:
        return ""
    first, reason = next(iter(refused.items()))
    others = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
    return f"{first} ({reason.rpartition(': ')[2]}){others}"


def _complaints(directory: Path, module: str, version: str, package: str, tags: str, deadline: float) -> str:
    """What go says while it fetches all that the package needs; empty: it has everything."""
    fetched = json.loads(_go(directory, deadline, "mod", "download", "-json", f"{module}@{version}").stdout or "{}")
    if "Dir" not in fetched:
        return str(fetched.get("Error", ""))
    go_mod = json.loads(_go(directory, deadline, "mod", "edit", "-json", fetched["GoMod"]).stdout)
    _write_wrapper(directory, go_mod, version, Path(fetched["Dir"]))
    path = str(PurePosixPath(module, package))
    listed = _go(directory, deadline, "list", "-mod=mod", "-deps", "-f", "-", f"-tags={tags}", path)
    return listed.stderr if listed.returncode else ""


def _go(directory: Path, deadline: float, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(tool("go")), *argv],
        cwd=directory,
        env={**os.environ, **_SETTINGS},
        capture_output=True,
        text=True,
        timeout=max(0.0, deadline - time.monotonic()),
        check=False,
    )
