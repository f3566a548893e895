"""What a worker says arrives as pytest-xdist's own controller knows it, in its order, and in fewer messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from xdist.workermanage import WorkerController

from pytest_crosscloud.run import wire


class Wire:
    """A sender whose messages go to a controller that writes down what it processes."""

    def __init__(self, *, eager: bool = False) -> None:
        self.messages: list[str] = []
        self.processed: list[Any] = []
        node = SimpleNamespace(process_from_remote=self.processed.append)
        wire.receive(cast(WorkerController, node))

        def send(name: str, **kwargs: Any) -> None:
            self.messages.append(name)
            node.process_from_remote((name, kwargs))

        self.send = wire.Sender(send, eager=eager)
        self.receive = node.process_from_remote

    def test(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """What xdist says of one test."""
        events: list[tuple[str, dict[str, Any]]] = [
            ("logstart", {"nodeid": name, "location": ("a.py", 1, name)}),
            *(("testreport", {"data": {"nodeid": name, "when": when}}) for when in ("setup", "call", "teardown")),
            ("logfinish", {"nodeid": name, "location": ("a.py", 1, name)}),
            ("runtest_protocol_complete", {"item_index": 7, "duration": 0.1}),
        ]
        for event, kwargs in events:
            self.send(event, **kwargs)
        return events


def test_a_test_is_one_message_and_all_of_it_arrives() -> None:
    line = Wire()
    assert line.processed == (said := line.test("one"))
    assert line.test("two") == line.processed[len(said) :]
    assert len(line.messages) == 2


def test_anything_else_goes_at_once_and_after_what_was_said_before() -> None:
    line = Wire()
    line.send("logstart", nodeid="one", location=("a.py", 1, "one"))
    line.send("warning_recorded", when="runtest")
    assert [name for name, _ in line.processed] == ["logstart", "warning_recorded"]


def test_the_start_of_a_test_goes_at_once_to_who_wants_to_see_it() -> None:
    line = Wire(eager=True)
    line.send("logstart", nodeid="one", location=("a.py", 1, "one"))
    assert [name for name, _ in line.processed] == ["logstart"]


def test_what_is_no_plain_value_is_left_to_execnet() -> None:
    line = Wire()
    strange = object()
    line.send("testreport", data={"user_properties": [("x", strange)]})
    line.send("runtest_protocol_complete", item_index=1, duration=0.1)
    assert line.messages == ["testreport", "runtest_protocol_complete"]


def test_the_end_of_a_worker_is_none_of_our_messages() -> None:
    line = Wire()
    end = object()
    line.receive(end)
    assert line.processed == [end]


@pytest.mark.parametrize("name", ["collectionfinish", "workerfinished", "workerready"])
def test_what_is_not_of_a_test_is_unchanged(name: str) -> None:
    line = Wire()
    line.send(name, ids=["a"])
    assert line.processed == [(name, {"ids": ["a"]})]
