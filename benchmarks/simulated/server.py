"""The simulated cloud's server, a program of its own: ``python -m benchmarks.simulated.server --ledger FILE``.

It prints its address and serves until it is told to end, or until the process ``--owner`` is gone; what becomes of its
clients is all one to it. Clusters live in its memory, what happens to them is in the ledger before it is answered:

    POST   /clusters {cloud, name, tags}            201, and it becomes ready later; 409: the name is taken; 429: quota
    GET    /clusters?cloud=…&KEY=VALUE              those of a cloud, by tags; all that are there, ready or not
    GET    /clusters/ID?wait=STATE                  one; with ``wait``, once it is in another state, within a second
    DELETE /clusters/ID                             202, and it is gone later; 404: it is not there
    GET    /clouds/NAME                             {quota, clusters}
    PUT    /clouds/NAME {…}                         how it behaves from now on: see ``behaviour``
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import random
import select
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .behaviour import Behaviour, draw
from .ledger import Ledger

#: Seconds that a request waits for another state.
_WAIT = 1.0

_RUN_TAG = "crosscloud-run"


class Refusal(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class AnswerLost(Exception):
    """It was done, and whoever asked will not hear of it."""


@dataclass
class _Cluster:
    id: str
    cloud: str
    name: str
    tags: Mapping[str, str]
    state: str = "creating"  #: creating, ready, failed, deleting; gone
    refusals: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "cloud": self.cloud, "name": self.name, "tags": dict(self.tags), "state": self.state}

    def facts(self, by: str) -> dict[str, str]:
        return {
            "cloud": self.cloud,
            "id": self.id,
            "name": self.name,
            "run": self.tags.get(_RUN_TAG, ""),
            "by": by,
        }


class _Alarm(threading.Thread):
    """Calls functions when their time has come."""

    def __init__(self) -> None:
        super().__init__(name="alarm", daemon=True)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._changed = threading.Condition()

    def after(self, seconds: float, function: Callable[[], None]) -> None:
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._number), function))
            self._changed.notify()

    def run(self) -> None:
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > time.monotonic():
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                _, _, function = heapq.heappop(self._due)
            function()


@dataclass
class Provider:
    """All simulated clouds of one server."""

    ledger: Ledger
    seed: int = 0
    behaviour: dict[str, Behaviour] = field(default_factory=dict)  #: by cloud; one that is not named does as it is told

    def __post_init__(self) -> None:
        self._clusters: dict[str, _Cluster] = {}
        self._creates: Counter[str] = Counter()
        self._random = defaultdict[str, random.Random](lambda: random.Random(self.seed))  # noqa: S311
        self._changed = threading.Condition()
        self._alarm = _Alarm()
        self._alarm.start()

    def behaves(self, cloud: str) -> Behaviour:
        return self.behaviour.get(cloud, Behaviour())

    def draw(self, cloud: str, what: str) -> float:
        with self._changed:
            return draw(getattr(self.behaves(cloud), what), self._random[cloud])

    def fault(self, cloud: str, by: str) -> None:
        """Refuse a request before anything happens, as often as the cloud does.

        :raises Refusal: this is one.
        """
        with self._changed:
            if self._random[cloud].random() >= self.behaves(cloud).error_rate:
                return
        self.ledger.note("error", cloud=cloud, by=by)
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "try again later")

    def create(self, cloud: str, name: str, tags: Mapping[str, str], by: str) -> dict[str, Any]:
        behaves = self.behaves(cloud)
        run = tags.get(_RUN_TAG, "")
        self.ledger.note("asked", cloud=cloud, name=name, run=run, by=by)
        time.sleep(self.draw(cloud, "accept"))
        with self._changed:
            self._creates[cloud] += 1
            number = self._creates[cloud]
            there = [cluster for cluster in self._clusters.values() if cluster.cloud == cloud]
            refusal = None
            if number in behaves.refuse:
                refusal = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "no capacity")
            elif behaves.quota is not None and len(there) >= behaves.quota:
                refusal = Refusal(HTTPStatus.TOO_MANY_REQUESTS, f"quota exceeded: {behaves.quota} clusters")
            elif any(cluster.name == name for cluster in there):
                refusal = Refusal(HTTPStatus.CONFLICT, f"there is a cluster {name} already")
            if refusal:
                self.ledger.note("refused", cloud=cloud, name=name, run=run, by=by)
                raise refusal
            cluster = _Cluster(f"{cloud}-{number}", cloud, name, tags)
            self._clusters[cluster.id] = cluster
            self.ledger.note("create", **cluster.facts(by))
            seconds = draw(behaves.create, self._random[cloud])
            state, what = ("failed", "broken") if number in behaves.fail else ("ready", "ready")
            self._alarm.after(seconds, lambda: self._move(cluster, ("creating",), state, what))
            if number in behaves.spot:
                seconds += draw(behaves.spot_after, self._random[cloud])
                self._alarm.after(seconds, lambda: self._move(cluster, ("ready",), "gone", "taken"))
            if number in behaves.lose:
                self.ledger.note("lost", **cluster.facts(by))
                raise AnswerLost
            return cluster.to_json()

    def get(self, id_: str, state: str) -> dict[str, Any]:
        """The cluster, once it is not in ``state`` any more, or a second later."""
        with self._changed:
            cluster = self._find(id_)
            self._changed.wait_for(lambda: cluster.state != state, _WAIT)
            return cluster.to_json()

    def list(self, cloud: str, tags: Mapping[str, str], by: str) -> list[dict[str, Any]]:
        with self._changed:
            self.ledger.note("list", cloud=cloud, run=tags.get(_RUN_TAG, ""), by=by)
            return [
                cluster.to_json()
                for cluster in self._clusters.values()
                if cluster.cloud == cloud and tags.items() <= cluster.tags.items()
            ]

    def delete(self, id_: str, by: str) -> dict[str, Any]:
        with self._changed:
            cluster = self._find(id_)
            if cluster.state == "deleting":
                return cluster.to_json()
            if cluster.refusals < self.behaves(cluster.cloud).destroy_fails:
                cluster.refusals += 1
                self.ledger.note("kept", **cluster.facts(by))
                raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, f"{cluster.name} cannot be deleted now")
            self.ledger.note("delete", **cluster.facts(by))
            cluster.state = "deleting"
            self._changed.notify_all()
            seconds = draw(self.behaves(cluster.cloud).destroy, self._random[cluster.cloud])
        if seconds:
            self._alarm.after(seconds, lambda: self._move(cluster, ("deleting",), "gone", "gone"))
        else:
            self._move(cluster, ("deleting",), "gone", "gone")
        return cluster.to_json()

    def about(self, cloud: str) -> dict[str, Any]:
        with self._changed:
            count = sum(cluster.cloud == cloud for cluster in self._clusters.values())
            return {"quota": self.behaves(cloud).quota, "clusters": count}

    def _find(self, id_: str) -> _Cluster:
        if id_ not in self._clusters:
            raise Refusal(HTTPStatus.NOT_FOUND, f"there is no cluster {id_}")
        return self._clusters[id_]

    def _move(self, cluster: _Cluster, origins: tuple[str, ...], state: str, what: str) -> None:
        with self._changed:
            if cluster.state not in origins:
                return
            cluster.state = state
            if state == "gone":
                del self._clusters[cluster.id]
            self.ledger.note(what, **cluster.facts(""))
            self._changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    provider: Provider

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _answer(self) -> None:
        url = urlsplit(self.path)
        _, kind, *rest = url.path.split("/")
        query = dict(parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            cloud, status, data = self._do(kind, rest[0] if rest else "", query, json.loads(body or "{}"))
        except AnswerLost:
            self.close_connection = True
            return
        except Refusal as refusal:
            cloud, status, data = query.get("cloud", ""), refusal.status, {"error": str(refusal)}
        except (KeyError, TypeError, ValueError) as error:
            cloud, status, data = "", HTTPStatus.BAD_REQUEST, {"error": f"{type(error).__name__}: {error}"}
        time.sleep(self.provider.draw(cloud, "answer"))
        text = json.dumps(data).encode()
        with suppress(OSError):  # whoever asked may be dead
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    def _do(self, kind: str, name: str, query: dict[str, str], body: Any) -> tuple[str, HTTPStatus, Any]:
        provider, by = self.provider, self.headers.get("X-Client", "")
        match self.command, kind, name:
            case "PUT", "clouds", name if name:
                provider.behaviour[name] = Behaviour.from_json(body)
                return "", HTTPStatus.OK, {}
            case "GET", "clouds", name if name:
                return name, HTTPStatus.OK, provider.about(name)
        cloud = str(body["cloud"]) if self.command == "POST" else query.pop("cloud", "") or name.rpartition("-")[0]
        provider.fault(cloud, by)
        match self.command, kind, name:
            case "POST", "clusters", "":
                return cloud, HTTPStatus.CREATED, provider.create(cloud, body["name"], body["tags"], by)
            case "GET", "clusters", "":
                return cloud, HTTPStatus.OK, provider.list(cloud, query, by)
            case "GET", "clusters", name:
                return cloud, HTTPStatus.OK, provider.get(name, query.get("wait", ""))
            case "DELETE", "clusters", name if name:
                return cloud, HTTPStatus.ACCEPTED, provider.delete(name, by)
        raise Refusal(HTTPStatus.NOT_FOUND, f"there is no {self.command} {self.path}")

    def log_message(self, format: str, *args: object) -> None:
        """The ledger has it."""


class Server(ThreadingHTTPServer):
    """All of it, listening. ``address`` is where."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, provider: Provider, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), type("Handler", (_Handler,), {"provider": provider}))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that died in the middle of its request is no error of ours; all else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulated.server")
    parser.add_argument("--port", type=int, default=0, help="default: one that is free")
    parser.add_argument("--ledger", type=Path, required=True, metavar="FILE", help="what happens is appended to it")
    parser.add_argument("--seed", type=int, default=0, help="of what is random (default: %(default)s)")
    parser.add_argument("--owner", type=int, metavar="PID", help="end when this process does")
    parser.add_argument(
        "--behaviour", type=json.loads, default={}, metavar="JSON", help='{"CLOUD": {"create": 2, "quota": 3}, …}'
    )
    args = parser.parse_args()
    behaviour = {name: Behaviour.from_json(data) for name, data in args.behaviour.items()}
    server = Server(Provider(Ledger(args.ledger), args.seed, behaviour), args.port)
    if args.owner:
        threading.Thread(target=_end_with, args=(args.owner,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever tests what is left after it
    print(server.address, flush=True)
    server.serve_forever()


def _end_with(owner: int) -> None:
    with suppress(ProcessLookupError):
        select.select([os.pidfd_open(owner)], [], [])
    os._exit(0)


if __name__ == "__main__":
    main()
