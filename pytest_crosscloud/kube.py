"""The Kubernetes API by plain paths: requests, log streams and watches over the kubernetes library's client.

The library gives authentication and TLS; objects stay the dictionaries that the API sends, since its typed
models cost twice the time and reject fields that a newer Kubernetes added. Importing it takes 0.3 s and more:
import this module late.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3
from kubernetes.config import ConfigException, new_client_from_config
from urllib3.exceptions import HTTPError

from .errors import CrosscloudError
from .redact import add_kubeconfig

#: Seconds for a request that is neither a watch nor a stream.
REQUEST_TIMEOUT = 30.0

#: Seconds after which a watch is asked for again, so that a dead connection is noticed.
_WATCH_SECONDS = 240

#: A line longer than this is cut: nothing promises that a container writes line ends.
_LINE_LIMIT = 64 * 1024

# One answer with every kind of a group, instead of one request per group and version.
_DISCOVERY = ", ".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
)


class ApiError(CrosscloudError):
    """The API server refused, or did not answer (``status`` 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """A cluster's API, by its KUBECONFIG. May be used by several threads."""

    def __init__(self, kubeconfig: str | Path) -> None:
        add_kubeconfig(kubeconfig)
        try:
            self._client: Any = new_client_from_config(  # type: ignore[no-untyped-call]
                config_file=str(kubeconfig), persist_config=False
            )
        except (ConfigException, OSError) as error:
            raise CrosscloudError(f"KUBECONFIG {kubeconfig} cannot be used: {error}") from error

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """The object or list at ``path``, e.g. ``/api/v1/nodes``.

        :raises ApiError: there is none, or it may not be read.
        """
        return self._json("GET", path, query)

    def namespaced_lists(self) -> list[str]:
        """The paths of all lists of namespaced objects, with ``{namespace}`` to fill in; custom resources too.

        :raises ApiError: they cannot be discovered.
        """
        paths = []
        for root in ("/api", "/apis"):
            for group in json.loads(self._send("GET", root, {}, accept=_DISCOVERY).data)["items"]:
                name = group["metadata"].get("name", "")
                version = group["versions"][0]  # the preferred one comes first
                prefix = f"{root}/{name}/{version['version']}" if name else f"{root}/{version['version']}"
                paths += [
                    f"{prefix}/namespaces/{{namespace}}/{resource['resource']}"
                    for resource in version.get("resources", ())
                    if resource["scope"] == "Namespaced" and "list" in resource["verbs"]
                ]
        return paths

    def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """:raises ApiError: with status 409 if it exists."""
        return self._json("POST", path, {}, body)

    def delete(self, path: str) -> None:
        """Ask for removal; what is not there is removed.

        :raises ApiError: it was refused.
        """
        try:
            self._json("DELETE", path, {"propagationPolicy": "Background"})
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def text(self, path: str, **query: str | int) -> str:
        """What ``path`` answers, as it is: a pod's log.

        :raises ApiError: there is none.
        """
        return self._send("GET", path, query).data.decode(errors="replace")

    def lines(self, path: str, *, timeout: float, **query: str | int) -> Lines:
        """The lines that ``path`` answers as they come; ``timeout`` seconds of silence end them with an ApiError."""
        return Lines(self._send("GET", path, query, timeout=timeout))

    def watch(self, path: str, *, deadline: float, **query: str | int) -> Watch:
        """The objects of the list at ``path``, now and after every change. ``deadline`` is on the monotonic clock."""
        return Watch(self, path, query, deadline)

    def _json(
        self, method: str, path: str, query: Mapping[str, str | int], body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        data = self._send(method, path, query, body).data
        answer: dict[str, Any] = json.loads(data)
        return answer

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        body: Mapping[str, Any] | None = None,
        timeout: float = REQUEST_TIMEOUT,
        accept: str = "application/json, */*",
    ) -> urllib3.HTTPResponse:
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = "application/json"
        arguments = self._client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer: urllib3.HTTPResponse = self._client.call_api(*arguments, _request_timeout=(10, timeout)).response
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise ApiError(answer.status, _message(answer))
        except HTTPError as error:
            raise ApiError(0, f"the Kubernetes API does not answer: {error}") from error
        return answer


def _message(answer: urllib3.HTTPResponse) -> str:
    """The message of the Status object that the API server sends with an error."""
    text = answer.data.decode(errors="replace")
    with suppress(ValueError, TypeError, KeyError):
        return str(json.loads(text)["message"])
    return text.strip() or f"HTTP {answer.status}"


class Lines:
    """Lines of an answer that goes on. ``close`` may be called by another thread and ends the iteration."""

    def __init__(self, answer: urllib3.HTTPResponse) -> None:
        self._answer = answer
        self._closed = False

    def __iter__(self) -> Iterator[str]:
        rest = b""
        try:
            for chunk in self._answer.stream(64 * 1024):
                if self._closed:  # TLS ended with the connection: what comes now was never deciphered
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line.decode(errors="replace")
                if len(rest) > _LINE_LIMIT:
                    yield rest.decode(errors="replace")
                    rest = b""
            if rest and not self._closed:
                yield rest.decode(errors="replace")
        except (HTTPError, OSError, ValueError) as error:  # ValueError: closed while it was read
            if not self._closed:
                raise ApiError(0, f"the Kubernetes API broke off: {error}") from error
        finally:
            self._answer.close()

    def close(self) -> None:
        self._closed = True
        # Not the answer's close(): it would wait for the read that is going on in the other thread.
        connection = self._answer.connection
        sock = getattr(connection, "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class Watch:
    """Every state of a list, beginning with the present one; survives expired versions and lost connections."""

    def __init__(self, api: Api, path: str, query: Mapping[str, str | int], deadline: float) -> None:
        self._api = api
        self._path = path
        self._query = dict(query)
        self._deadline = deadline
        self._lines: Lines | None = None
        self._closed = False

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        """:raises TimeoutError: the deadline has passed.
        :raises ApiError: the list may not be read, or the API server did not answer ten times in a row."""
        failures = 0
        while not self._closed:
            try:
                for objects in self._follow():
                    failures = 0
                    yield objects
            except ApiError as error:
                failures += 1
                lost = error.status == 0 or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
                if not (lost or error.status in {HTTPStatus.GONE, HTTPStatus.TOO_MANY_REQUESTS}) or failures == 10:
                    raise
                time.sleep(min(1.0, self._left()))

    def close(self) -> None:
        """End the iteration; may be called by another thread."""
        self._closed = True
        if self._lines:
            self._lines.close()

    def _follow(self) -> Iterator[list[dict[str, Any]]]:
        """List, then watch from there until the server ends the watch."""
        listed = self._api.get(self._path, **self._query)
        version = listed["metadata"]["resourceVersion"]
        objects = {item["metadata"]["uid"]: item for item in listed["items"]}
        yield list(objects.values())
        seconds = int(min(self._left(), _WATCH_SECONDS)) + 1
        query = {**self._query, "watch": "true", "resourceVersion": version, "timeoutSeconds": seconds}
        self._lines = self._api.lines(self._path, timeout=seconds + 5, **query)
        if self._closed:  # between the last look and this line: close() found nothing to shut down
            self._lines.close()
        for line in self._lines:
            event = json.loads(line)
            changed = event["object"]
            if event["type"] == "ERROR":
                raise ApiError(int(changed.get("code", 0)), str(changed.get("message", "watch failed")))
            if event["type"] == "DELETED":
                objects.pop(changed["metadata"]["uid"], None)
            else:
                objects[changed["metadata"]["uid"]] = changed
            self._left()
            yield list(objects.values())

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left
