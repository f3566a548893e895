"""Requests, streams and watches over a fake API server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.kube import Api, ApiError, Lines
from pytest_crosscloud.redact import redact
from tests.deploy.fake_api import FakeApi, serve

if TYPE_CHECKING:
    import urllib3

PODS = "/api/v1/namespaces/n/pods"


@pytest.fixture
def fake() -> FakeApi:
    return FakeApi()


@pytest.fixture
def api(fake: FakeApi, tmp_path: Path) -> Iterator[Api]:
    with serve(fake, tmp_path) as kubeconfig:
        yield Api(kubeconfig)


def test_a_kubeconfigs_secrets_are_redacted_once_it_is_opened(fake: FakeApi, tmp_path: Path) -> None:
    with serve(fake, tmp_path) as kubeconfig:
        config = json.loads(Path(kubeconfig).read_text())
        config["users"][0]["user"] = {"token": "a-token-for-test-kube"}
        Path(kubeconfig).write_text(json.dumps(config))
        assert "a-token-for" in redact("is a-token-for-test-kube")
        Api(kubeconfig)
        assert "a-token-for" not in redact("is a-token-for-test-kube")


def soon() -> float:
    return time.monotonic() + 10


def named(name: str, **fields: object) -> dict[str, object]:
    return {"metadata": {"name": name}, **fields}


def test_a_watch_gives_every_state_beginning_with_the_present_one(fake: FakeApi, api: Api) -> None:
    fake.put(f"{PODS}/a", named("a"))
    states = iter(api.watch(PODS, deadline=soon()))

    assert [item["metadata"]["name"] for item in next(states)] == ["a"]
    fake.put(f"{PODS}/b", named("b"))
    assert [item["metadata"]["name"] for item in next(states)] == ["a", "b"]
    fake.put(f"{PODS}/a", named("a", phase="Running"))
    assert next(states)[0]["phase"] == "Running"
    fake.remove(f"{PODS}/a")
    assert [item["metadata"]["name"] for item in next(states)] == ["b"]


def test_a_watch_survives_an_expired_version(fake: FakeApi, api: Api) -> None:
    states = iter(api.watch(PODS, deadline=soon()))
    assert next(states) == []

    fake.break_watches(410)
    fake.put(f"{PODS}/a", named("a"))

    assert [item["metadata"]["name"] for item in next(states)] == ["a"]


def test_a_watch_that_may_not_be_says_so_at_once(fake: FakeApi, api: Api) -> None:
    fake.answers[PODS] = (403, {"kind": "Status", "message": "pods is forbidden"})

    with pytest.raises(ApiError, match="pods is forbidden") as raised:
        next(iter(api.watch(PODS, deadline=soon())))
    assert raised.value.status == 403


def test_a_watch_ends_at_its_deadline(api: Api) -> None:
    with pytest.raises(TimeoutError):
        for _ in api.watch(PODS, deadline=time.monotonic()):
            pass


@pytest.mark.parametrize("waiting", [True, False], ids=["open", "not-yet-open"])
def test_another_thread_ends_a_watch_that_waits(fake: FakeApi, api: Api, waiting: bool) -> None:
    watch = api.watch(PODS, deadline=soon())
    first = threading.Event()

    def consume() -> None:
        for _ in watch:
            first.set()

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    assert first.wait(5)
    if waiting:
        with fake.changed:
            assert fake.changed.wait_for(lambda: any("watch=true" in path for path in fake.requests), 5)
    watch.close()
    thread.join(5)

    assert not thread.is_alive()


def test_removing_what_is_not_there_is_no_error(api: Api) -> None:
    api.delete("/api/v1/namespaces/gone")


def test_lines_come_as_they_are_and_long_ones_are_cut(fake: FakeApi, api: Api) -> None:
    fake.logs["p", "c"] = "one\n\ntwo\n" + "x" * 200_000

    lines = list(api.lines(f"{PODS}/p/log", timeout=5, container="c"))

    assert lines[:3] == ["one", "", "two"]
    assert "".join(lines[3:]) == "x" * 200_000
    assert max(map(len, lines)) <= 3 * 64 * 1024


def test_what_comes_when_another_thread_has_ended_it_is_no_line() -> None:
    class Answer:
        connection = None

        def stream(self, size: int) -> Iterator[bytes]:
            yield b'{"whole": 1}\n{"cut'
            lines.close()
            yield b'\x17\x03\x03 what TLS left\n{"'

        def close(self) -> None:
            pass

    lines = Lines(cast("urllib3.HTTPResponse", Answer()))

    assert list(lines) == ['{"whole": 1}']


def test_namespaced_lists_take_the_preferred_version_and_what_can_be_listed(fake: FakeApi, api: Api) -> None:
    def resource(name: str, scope: str = "Namespaced", verbs: tuple[str, ...] = ("get", "list")) -> dict[str, object]:
        return {"resource": name, "scope": scope, "verbs": list(verbs)}

    core = [resource("pods"), resource("nodes", scope="Cluster"), resource("bindings", verbs=("create",))]
    fake.answers["/api"] = (200, {"items": [{"metadata": {}, "versions": [{"version": "v1", "resources": core}]}]})
    batch = [{"version": "v1", "resources": [resource("jobs")]}, {"version": "v1beta1", "resources": [resource("old")]}]
    fake.answers["/apis"] = (200, {"items": [{"metadata": {"name": "batch"}, "versions": batch}]})

    assert api.namespaced_lists() == [
        "/api/v1/namespaces/{namespace}/pods",
        "/apis/batch/v1/namespaces/{namespace}/jobs",
    ]


def test_an_api_that_is_not_there_is_an_error_with_status_0(tmp_path: Path, fake: FakeApi) -> None:
    with serve(fake, tmp_path) as kubeconfig:
        pass

    with pytest.raises(ApiError, match="does not answer") as raised:
        Api(kubeconfig).get("/api/v1/nodes")
    assert raised.value.status == 0


def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(CrosscloudError, match="no-such-file"):
        Api(tmp_path / "no-such-file")
