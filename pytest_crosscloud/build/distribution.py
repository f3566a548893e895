"""A client of the registry API: digests, tags and pushes, with the token flow of anonymous and of known users.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode, urljoin

from .. import paths
from ..errors import StageError
from ..lock import held
from ..model import ErrorClass
from ..redact import add_secret
from ..stage import StageContext
from .images import INDEX, MANIFEST, Blob, Layout

#: Seconds without an answer after which a registry counts as unreachable, unless a stage has less.
TIMEOUT = 30.0

#: The same where no stage waits: a run asks for its refs before it begins.
ASKING = 10.0

#: Bytes after which an upload says how far it is.
_SHOWN = 4 << 20

_ACCEPT = ", ".join(
    (
        MANIFEST,
        INDEX,
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)

#: Networks in which a registry talks plain HTTP: this computer, and the addresses of registries started for a run.
_PLAIN = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128", "198.18.0.0/20")))


class RegistryUnreachable(StageError):
    """Nothing answers there, or not as a registry does."""

    def __init__(self, host: str, reason: str, *, remedy: str = "", answers: bool = False) -> None:
        super().__init__(f"registry {host} unreachable: {reason}", remedy=remedy)
        self.host = host
        self.reason = reason
        self.answers = answers  #: something does: it is overloaded, or broken


class ImageTooLarge(StageError):
    """An image has more bytes than its caller takes."""


@dataclass(frozen=True)
class Repository:
    """A repository of a registry, e.g. ``docker.io`` and ``library/alpine``."""

    host: str
    name: str
    plain: bool = False  #: it was named with http://

    @classmethod
    def at(cls, registry: str, name: str) -> Repository:
        """A repository of a registry as users name it: ``host[:port]``, with ``http://`` before if it has no TLS."""
        host = registry.removeprefix("http://")
        return cls(host.removeprefix("https://").rstrip("/"), name, plain=host != registry)

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read a name without tag or digest as container tools do: ``alpine`` is ``docker.io/library/alpine``."""
        host, slash, name = text.partition("/")
        if not slash or not ("." in host or ":" in host or host == "localhost"):
            host, name = "docker.io", text
        if host in ("docker.io", "index.docker.io") and "/" not in name:
            name = f"library/{name}"
        return cls("docker.io" if host == "index.docker.io" else host, name)

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    @property
    def url(self) -> str:
        """Scheme and host of its registry's API."""
        if self.host == "docker.io":
            return "https://registry-1.docker.io"
        return f"{'http' if self.plain or is_inside(self.host) else 'https'}://{self.host}"

    # -- reading ----------------------------------------------------------------------------------------------

    def digest(self, reference: str, stage: StageContext | None = None) -> str | None:
        """The digest of the manifest or index that a tag or digest names; None if the registry has none.

        :param stage: what it is asked for; its deadline counts.
        :raises RegistryUnreachable: it does not answer.
        :raises StageError: (class configuration) it refuses access.
        """
        response = self._request("HEAD", f"manifests/{reference}", {"Accept": _ACCEPT}, stage=stage, absent_ok=True)
        return response.headers["Docker-Content-Digest"] if response else None

    def has(self, digest: str, stage: StageContext | None = None, arch: str = "") -> bool:
        """Whether the image of this digest is there, with all that its manifest names.

        :param arch: of an index, the image for this arch is looked for; empty: every one.
        :raises StageError: as ``digest``.
        """
        response = self._request("GET", f"manifests/{digest}", {"Accept": _ACCEPT}, stage=stage, absent_ok=True)
        if response is None:
            return False
        manifest = json.loads(response.body)
        if "manifests" in manifest:
            entries = manifest["manifests"]
            wanted = [each for each in entries if arch in ("", each.get("platform", {}).get("architecture"))]
            return bool(wanted) and all(self.has(each["digest"], stage) for each in wanted)
        blobs = [manifest["config"], *manifest["layers"]] if "config" in manifest else []
        return all(
            self._request("HEAD", f"blobs/{blob['digest']}", {}, stage=stage, absent_ok=True) is not None
            for blob in blobs
        )

    def manifest(self, reference: str, stage: StageContext | None = None) -> dict[str, Any]:
        """The manifest or index that a tag or digest names.

        :raises StageError: there is none, or as ``digest``.
        """
        response = self._request("GET", f"manifests/{reference}", {"Accept": _ACCEPT}, stage=stage)
        assert response
        manifest: dict[str, Any] = json.loads(response.body)
        return manifest

    def tags(self) -> list[str]:
        """All tags, in the registry's order. Empty if there is no such repository.

        :raises StageError: as ``digest``.
        """
        tags: list[str] = []
        path = "tags/list?n=1000"
        while path:
            response = self._request("GET", path, {}, absent_ok=True)
            if response is None:
                break
            tags += json.loads(response.body).get("tags") or []
            path = _next_page(response.headers.get("Link", ""))
        return tags

    def pull(self, digest: str, directory: Path, stage: StageContext, *, limit: int) -> Layout:
        """Fetch the image with this digest into ``directory``, as a layout of which every byte was checked.

        :param limit: bytes that it may have.
        :raises ImageTooLarge: it has more.
        :raises StageError: it is an index of several images, or is not what its digest says; or as ``digest``.
        """
        stage.progress(f"pulling {self}@{digest}")
        layout = Layout(directory)
        path = layout.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        response = self._request("GET", f"manifests/{digest}", {"Accept": _ACCEPT}, stage=stage)
        assert response
        path.write_bytes(response.body)
        _check(path, digest)
        media_type = response.headers["Content-Type"]
        if "config" not in json.loads(response.body):
            raise StageError(f"{self}@{digest} is an index of several images")
        layout.write_index(Blob(media_type, digest, len(response.body)))
        blobs = {blob.digest: blob.size for blob in layout.blobs()}
        if sum(blobs.values()) > limit:
            raise ImageTooLarge(f"{self}@{digest} has {sum(blobs.values()) >> 20} MiB")
        for blob in blobs:
            self._request("GET", f"blobs/{blob}", {}, stage=stage, into=layout.path(blob))
            _check(layout.path(blob), blob)
        return layout

    # -- writing ----------------------------------------------------------------------------------------------

    def push(self, layout: Layout, tag: str, stage: StageContext) -> str:
        """Push an image unless it is there already, tag it, and return its digest.

        :raises DeadlineExceeded: the stage's time was over, also while another process pushed to this repository.
        :raises StageError: as ``digest``.
        """
        manifest = layout.manifest
        with _pushing(self.name, stage):
            stage.progress(f"pushing {self.name}")
            if self.digest(tag, stage) == manifest.digest:
                return manifest.digest
            for blob in layout.blobs():
                if self._request("HEAD", f"blobs/{blob.digest}", {}, stage=stage, absent_ok=True) is None:
                    started = self._request("POST", "blobs/uploads/", {}, stage=stage)
                    assert started
                    location = urljoin(started.url, started.headers["Location"])
                    location += ("&" if "?" in location else "?") + urlencode({"digest": blob.digest})
                    headers = {"Content-Type": "application/octet-stream"}
                    self._request("PUT", location, headers, stage=stage, body=layout.path(blob.digest))
            headers = {"Content-Type": manifest.media_type}
            self._request("PUT", f"manifests/{tag}", headers, stage=stage, body=layout.path(manifest.digest))
        return manifest.digest

    # -- requests ---------------------------------------------------------------------------------------------

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        stage: StageContext | None = None,
        body: Path | None = None,
        into: Path | None = None,
        absent_ok: bool = False,
    ) -> _Response | None:
        """One request, asked again with a token when the registry wants one. None: 404, where that is an answer."""
        url = urljoin(f"{self.url}/v2/{self.name}/", path)
        if self.url.startswith("https://") and not url.startswith("https://"):
            raise StageError(f"registry {self.host} is spoken to over TLS, and sends {method} elsewhere: {url}")
        authorization = _tokens.get((self.host, self.name), "")
        response = _send(method, url, headers, authorization, body, stage, into)
        if response.status == 401:
            challenge = response.headers.get("WWW-Authenticate", "")
            authorization = _authorize(self, challenge, write=method not in ("GET", "HEAD"), stage=stage)
            _tokens[self.host, self.name] = authorization
            response = _send(method, url, headers, authorization, body, stage, into)
        if response.status == 404 and absent_ok:
            return None
        if method not in ("GET", "HEAD"):
            self._check_push(response)
        if response.status in (401, 403):
            # Registries say 401 to anonymous users also for a repository that does not exist.
            raise self._refused(
                f"access to {self.name}", response.status, "check the name; if it is private, log in", "check the name"
            )
        if response.status >= 500 or response.status == 429:
            raise RegistryUnreachable(self.host, f"it answers HTTP {response.status} for {self}", answers=True)
        if response.status >= 400:
            raise StageError(
                f"registry {self.host}: {method} {url.removeprefix(self.url)}: HTTP {response.status}"
                f" {response.body[:300].decode(errors='replace')}"
            )
        return response

    def _refused(self, what: str, status: int, login: str, otherwise: str) -> StageError:
        """What this user may not do: ``login`` says what helps over TLS, ``otherwise`` what helps without."""
        if self.url.startswith("https://"):
            remedy = f"{login}: docker login {self.host}"
        else:
            remedy = f"{otherwise}; a login is never sent over plain HTTP"
        message = f"registry {self.host} refuses {what} (HTTP {status})"
        return StageError(message, remedy=remedy, error_class=ErrorClass.CONFIGURATION)

    def _check_push(self, response: _Response) -> None:
        """:raises StageError: the registry answers, and does not take the image."""
        if response.status in (401, 403):
            raise self._refused(
                f"the push to {self.name}",
                response.status,
                "log in as somebody who may push there",
                "--registry HOST names another registry",
            )
        if response.status == 405:
            raise StageError(
                f"registry {self.host} takes no push to {self.name}: it is read-only (HTTP 405)",
                remedy="--registry HOST names another",
                error_class=ErrorClass.CONFIGURATION,
            )
        if response.status == 507 or b"no space left on device" in response.body:
            raise StageError(
                f"registry {self.host} has no room for {self.name} (HTTP {response.status})",
                remedy="free some space where it keeps its images, or name another with --registry HOST",
            )


def _check(path: Path, digest: str) -> None:
    """:raises StageError: the file is not what its digest says."""
    algorithm, _, expected = digest.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        raise StageError(f"the registry sent something else as {digest}: {algorithm}:{found}")


@contextmanager
def _pushing(repository: str, stage: StageContext) -> Iterator[None]:
    """Hold the lock of pushes to a repository of this name, whatever its registry: two may have one storage.

    docker-registry writes manifests and links in place, so that two who push the same at once find them empty.
    """
    path = paths.cache("locks", f"push-{repository.replace('/', '-')}")
    with held(path, stage, f"another process, which is pushing {repository}"):
        yield


@dataclass(frozen=True)
class _Response:
    url: str
    status: int
    headers: Message
    body: bytes


#: Authorization header by registry and repository, for the life of this process.
_tokens: dict[tuple[str, str], str] = {}


def is_inside(host: str) -> bool:
    """Whether ``host[:port]`` is on this computer: its registry speaks HTTP without TLS, and no network hears it.

    Any other is spoken to over TLS, whatever it answers: to fall back to HTTP would let whoever breaks the
    handshake read along.
    """
    name = host.rpartition(":")[0].strip("[]") if host.rpartition(":")[2].isdigit() else host.strip("[]")
    try:
        address = ipaddress.ip_address("127.0.0.1" if name == "localhost" else name)
    except ValueError:
        return False
    return any(address in network for network in _PLAIN)


class _Upload:
    """A file that is sent, as far as the stage has time."""

    def __init__(self, file: BinaryIO, size: int, host: str, stage: StageContext | None) -> None:
        self._file, self._size, self._host, self._stage = file, size, host, stage
        self._sent = self._shown = 0

    def read(self, size: int = -1) -> bytes:
        if self._stage:
            self._stage.remaining()
            if self._sent - self._shown >= _SHOWN:
                self._shown = self._sent
                self._stage.progress(f"pushing to {self._host}: {self._sent >> 20} of {self._size >> 20} MiB")
        chunk = self._file.read(size)
        self._sent += len(chunk)
        return chunk


def _send(
    method: str,
    url: str,
    headers: Mapping[str, str],
    authorization: str,
    body: Path | None = None,
    stage: StageContext | None = None,
    into: Path | None = None,
) -> _Response:
    """Send ``body``; keep a success's answer in the file ``into``, if there is one."""
    request = urllib.request.Request(url, method=method, headers=dict(headers))  # noqa: S310 - base_url's schemes
    if authorization:
        request.add_unredirected_header("Authorization", authorization)
    # A proxy of the environment leads outside; the registry of a run is inside.
    handlers = [urllib.request.ProxyHandler({})] if url.startswith("http://") else []
    opener = urllib.request.build_opener(*handlers)
    try:
        with ExitStack() as stack:
            if body:
                size = body.stat().st_size
                request.data = _Upload(stack.enter_context(body.open("rb")), size, request.host, stage)
                request.add_header("Content-Length", str(size))
            timeout = min(TIMEOUT, stage.remaining()) if stage else ASKING
            answer = stack.enter_context(opener.open(request, timeout=timeout))
            if into is None:
                return _Response(answer.url, answer.status, answer.headers, _body(answer, stage))
            with into.open("wb") as file:
                while chunk := answer.read1():
                    file.write(chunk)
                    if stage:
                        stage.remaining()
            return _Response(answer.url, answer.status, answer.headers, b"")
    except urllib.error.HTTPError as error:
        with error:
            return _Response(url, error.code, error.headers, _body(error, stage))
    except OSError as error:
        host = request.host
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if stage:
            stage.remaining()  # a timeout may have been the stage's
        remedy = "check the network, the registry's name and its port"
        if body and isinstance(reason, ConnectionResetError | BrokenPipeError):
            # Its answer, which says why, is lost with the connection that it closes while we write.
            remedy = "see its log: it may have no room where it keeps its images"
        elif isinstance(reason, ssl.SSLError):
            remedy += f"; one without TLS must be named http://{host}"
        raise RegistryUnreachable(host, str(reason), remedy=remedy) from error


def _body(answer: Any, stage: StageContext | None) -> bytes:
    """All of an answer, within the stage's time however slowly it comes."""
    body = b""
    while chunk := answer.read1():
        if stage:
            stage.remaining()
        body += chunk
    return body


def _next_page(link: str) -> str:
    target, _, relation = link.partition(";")
    return target.strip().strip("<>") if 'rel="next"' in relation else ""


# -- authorization ----------------------------------------------------------------------------------------------


def _authorize(repository: Repository, challenge: str, *, write: bool, stage: StageContext | None) -> str:
    """The Authorization header that a 401's challenge asks for (https://distribution.github.io/distribution/spec/auth/token/).

    A login is for TLS only, of the registry and of the server that gives its tokens; over HTTP we are anonymous.
    """
    kind, _, rest = challenge.partition(" ")
    credentials = _credentials(repository.host) if repository.url.startswith("https://") else ""
    if kind.lower() != "bearer":
        return credentials
    asked = urllib.request.parse_keqv_list(urllib.request.parse_http_list(rest))
    scope = f"repository:{repository.name}:{'pull,push' if write else 'pull'}"
    query = urlencode({"service": asked.get("service", ""), "scope": scope})
    realm = asked["realm"]
    answer = _send("GET", f"{realm}?{query}", {}, credentials if realm.startswith("https://") else "", stage=stage)
    if answer.status != 200:
        return ""
    token = json.loads(answer.body)
    value = token.get("token") or token["access_token"]
    add_secret(value)
    return f"Bearer {value}"


def _credentials(host: str) -> str:
    """The Authorization header of whoever logged in with docker or podman; empty: nobody did."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
    docker = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    names = ("https://index.docker.io/v1/", "docker.io") if host == "docker.io" else (host, f"https://{host}")
    for file in (docker / "config.json", runtime / "containers" / "auth.json"):
        try:
            known = json.loads(file.read_text()).get("auths", {})
        except (OSError, ValueError):
            continue
        for name in names:
            if encoded := known.get(name, {}).get("auth"):
                add_secret(encoded)
                add_secret(base64.b64decode(encoded).decode().partition(":")[2])
                return f"Basic {encoded}"
    return ""
