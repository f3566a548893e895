"""One message from a worker for all that became of a test, where pytest-xdist sends six.

Each of them costs a serialization in Python on both sides, a write, and a turn of the controller's receiving threads:
with tests that take next to nothing, more than the tests.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

#: What a worker says of a test, the last of it at the end.
_END = "runtest_protocol_complete"
_OF_A_TEST = {"logstart", "testreport", "logfinish", _END}

#: The name of our own message.
_TEST = "crosscloud_test"


class Sender:
    """In place of a worker's ``sendevent``.

    :param eager: whether the start of a test is told at once, for a person who wants to see it.
    """

    def __init__(self, send: Callable[..., None], *, eager: bool) -> None:
        self._send = send
        self._eager = eager
        self._events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, **kwargs: Any) -> None:
        if name not in _OF_A_TEST or (name == "logstart" and self._eager):
            self.flush()
            self._send(name, **kwargs)
            return
        self._events.append((name, kwargs))
        if name == _END:
            self.flush()

    def flush(self) -> None:
        """Send what is left; the controller gets everything in the order in which it was said."""
        events, self._events = self._events, []
        if not events:
            return
        try:
            content = marshal.dumps(events)
        except ValueError:  # something that is no plain value: execnet says which
            for name, kwargs in events:
                self._send(name, **kwargs)
        else:
            self._send(_TEST, events=content)


def receive(node: WorkerController) -> None:
    """Have the controller take our message apart, before it listens to ``node``."""
    process = node.process_from_remote

    def process_from_remote(event: Any) -> None:
        if isinstance(event, tuple) and event[0] == _TEST:
            for of_test in marshal.loads(event[1]["events"]):  # noqa: S302 - from a worker of ours
                process(of_test)
        else:
            process(event)

    node.process_from_remote = process_from_remote
