"""Where a module's providers can be had: the plugin cache, this computer's mirrors, the registry. Downloads nothing."""

from __future__ import annotations

import http.client
import json
import os
import platform
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from .. import paths
from ..errors import CrosscloudError
from ..toolchain.pins import host_arch
from .module import Provider

#: Seconds for a registry to answer.
TIMEOUT = 5.0

#: The registry that a source without a host means, by program.
TERRAFORM, TOFU = "registry.terraform.io", "registry.opentofu.org"

_CONSTRAINT = re.compile(r"(~>|>=|<=|!=|=|>|<)?\s*v?(\d+(?:\.\d+)*)")

_discovering = threading.Lock()
_bases: dict[str, str] = {}  #: where each registry has its providers
_silent: dict[str, str] = {}  #: why a registry is not asked again


class Unreachable(CrosscloudError):
    """A registry does not answer; it is asked once per process."""


def default_host(program: Path) -> str:
    """The registry of this Terraform or OpenTofu."""
    try:
        done = subprocess.run(
            [program, "version"], capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return TERRAFORM
    return TOFU if done.stdout.startswith("OpenTofu") else TERRAFORM


def address(provider: Provider, host: str) -> str:
    """Its whole address, ``registry.terraform.io/hashicorp/aws``."""
    return provider.source if provider.source.count("/") == 2 else f"{host}/{provider.source}"


def plugin_cache() -> Path:
    """Where Terraform keeps what it has downloaded, for all runs."""
    return paths.cache("terraform-plugins")


def here(provider: Provider, host: str, places: Iterable[Path] = ()) -> Path | None:
    """The newest version that will do of those on this computer: in the plugin cache, or a mirror; or in ``places``."""
    found: list[tuple[tuple[int, ...], Path]] = []
    for place in places or _places():
        folder = place / address(provider, host)
        for version, path in _versions_in(folder):
            if allows(provider.version, version):
                found.append((_numbers(version), path))
    return max(found)[1] if found else None


def are_cached(required: Sequence[Provider], program: Path) -> bool:
    """Whether the plugin cache has all that a module requires, and it requires any.

    With the cache alone Terraform asks the registry for versions all the same; with ``-plugin-dir`` it does not.
    """
    if not required:
        return False
    host, cache = default_host(program), [plugin_cache()]
    return all(here(provider, host, cache) for provider in required)


def ask(provider: Provider, host: str) -> str:
    """The newest version that will do of those that the registry has.

    :raises Unreachable: it does not answer.
    :raises CrosscloudError: it has no such provider, or no such version.
    """
    host, _, name = address(provider, host).partition("/")
    versions = [found for found in _listed(host, name) if allows(provider.version, found)]
    if not versions:
        raise CrosscloudError(f"{host} has no version of {name} that is {provider.version}")
    return max(versions, key=_numbers)


def allows(constraint: str, version: str) -> bool:
    """Whether a version satisfies a constraint of Terraform's; pre-releases only satisfy their own name."""
    if "-" in version:
        return constraint.strip().removeprefix("=").strip() == version
    numbers = _numbers(version)
    return all(_satisfies(match[1] or "=", match[2], numbers) for match in _CONSTRAINT.finditer(constraint))


def _satisfies(operator: str, wanted: str, version: tuple[int, ...]) -> bool:
    limit = _numbers(wanted)
    match operator:
        case "~>":
            return version >= limit and version[: wanted.count(".")] == limit[: wanted.count(".")]
        case ">=":
            return version >= limit
        case "<=":
            return version <= limit
        case "!=":
            return version != limit
        case ">":
            return version > limit
        case "<":
            return version < limit
        case _:
            return version == limit


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", version.partition("-")[0])]
    return tuple([*numbers, 0, 0, 0][:3])


def _places() -> Iterator[Path]:
    """The plugin cache, the mirrors that the CLI's configuration names, and those that it looks into by itself."""
    yield plugin_cache()
    for file in _configurations():
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for block in re.findall(r"filesystem_mirror\s*{(.*?)}", text, re.DOTALL):
            yield from (Path(found).expanduser() for found in re.findall(r'path\s*=\s*"([^"]+)"', block))
    data = [os.environ.get("XDG_DATA_HOME") or "~/.local/share", *_system_data()]
    yield Path("~/.terraform.d/plugins").expanduser()
    yield from (Path(place).expanduser() / "terraform" / "plugins" for place in data)


def _system_data() -> list[str]:
    return (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")


def _configurations() -> list[Path]:
    named = os.environ.get("TF_CLI_CONFIG_FILE")
    return [Path(named)] if named else [Path("~/.terraformrc").expanduser(), Path("~/.tofurc").expanduser()]


def _versions_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Unpacked (``VERSION/OS_ARCH/``) and packed (``terraform-provider-TYPE_VERSION_OS_ARCH.zip``) versions."""
    target = f"{platform.system().lower()}_{host_arch()}"
    for path in folder.glob(f"*/{target}"):
        yield path.parent.name, path
    for path in folder.glob(f"terraform-provider-{folder.name}_*_{target}.zip"):
        yield path.name.split("_")[1], path


def _listed(host: str, name: str) -> list[str]:
    with _discovering:  # one that is silent is waited for once
        if host not in _bases:
            found = _fetch(host, f"https://{host}/.well-known/terraform.json", "no registry of providers")
            _bases[host] = urljoin(f"https://{host}/", found["providers.v1"])
    answer = _fetch(host, f"{_bases[host].rstrip('/')}/{name}/versions", f"no provider {name}")
    return [entry["version"] for entry in answer["versions"]]


def _fetch(host: str, url: str, absent: str) -> Any:
    if host in _silent:
        raise Unreachable(_silent[host])
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as error:
        if error.code == http.client.NOT_FOUND:
            raise CrosscloudError(f"{host} has {absent}") from error
        raise Unreachable(f"{host} answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        _silent[host] = f"{host} does not answer: {reason or type(error).__name__}"
        raise Unreachable(_silent[host]) from error
