"""Talks to the simulated cloud's server, as a provider's SDK would.

As a program: ``python -m benchmarks.simulated.client ADDRESS create|delete CLOUD NAME``, and wait until that is done.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from pytest_crosscloud.run.processes import REAPER_VARIABLE, RUN_VARIABLE

#: Seconds for one answer.
_TIMEOUT = 30.0


class CloudError(Exception):
    """The cloud refused, or nobody knows what it did: ``status`` is 0 then."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """One server. A connection for each request: whoever forks or is killed takes none along."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._host = urlsplit(address).netloc

    def create(self, cloud: str, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        cluster: dict[str, Any] = self._ask("POST", "/clusters", {"cloud": cloud, "name": name, "tags": dict(tags)})
        return cluster

    def get(self, id_: str, wait: str = "") -> dict[str, Any]:
        """A cluster; with ``wait``, once it is not in that state any more, or a second later."""
        cluster: dict[str, Any] = self._ask("GET", f"/clusters/{quote(id_)}?{urlencode({'wait': wait})}")
        return cluster

    def list(self, cloud: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", f"/clusters?{urlencode({'cloud': cloud, **tags})}")
        return found

    def delete(self, id_: str) -> None:
        """Begin to delete it; nothing happens if it is not there."""
        try:
            self._ask("DELETE", f"/clusters/{quote(id_)}")
        except CloudError as error:
            if error.status != http.HTTPStatus.NOT_FOUND:
                raise

    def is_gone(self, id_: str) -> bool:
        """Whether it is not there any more; it takes up to a second to say no."""
        try:
            return self.get(id_, "deleting") is None
        except CloudError as error:
            if error.status != http.HTTPStatus.NOT_FOUND:
                raise
            return True

    def about(self, cloud: str) -> dict[str, Any]:
        """``quota`` (None: there is none) and ``clusters``, how many there are."""
        facts: dict[str, Any] = self._ask("GET", f"/clouds/{quote(cloud)}")
        return facts

    def behave(self, cloud: str, **behaviour: Any) -> None:
        """From now on. See ``Behaviour``."""
        self._ask("PUT", f"/clouds/{quote(cloud)}", behaviour)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        run = os.environ.get(REAPER_VARIABLE) or os.environ.get(RUN_VARIABLE, "")
        headers = {"X-Client": f"{run} {os.getpid()}", "Connection": "close"}
        connection = http.client.HTTPConnection(self._host, timeout=_TIMEOUT)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            data = json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise CloudError(0, f"{method} {path}: {type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise CloudError(answer.status, f"{data['error']} (HTTP {answer.status})")
        return data


def main(address: str, verb: str, cloud: str, name: str) -> None:
    client = Client(address)
    if verb == "create":
        cluster = client.create(cloud, name, {})
        while cluster["state"] == "creating":
            cluster = client.get(cluster["id"], "creating")
        return
    for cluster in client.list(cloud, {}):
        if cluster["name"] == name:
            client.delete(cluster["id"])
            while not client.is_gone(cluster["id"]):
                pass


if __name__ == "__main__":
    main(*sys.argv[1:])
