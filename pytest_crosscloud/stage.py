"""What a running stage holds: its deadline, its log, its progress line, and the way it starts programs."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .errors import DeadlineExceeded, StageError
from .model import ErrorClass
from .redact import redact

#: Every process of a run carries it, so that the reaper finds them after a ``kill -9``.
RUN_VARIABLE = "CROSSCLOUD_RUN"

#: Set for a process that is itself a recorded resource (a registry, a machine), to ``kind/name``: the resource's
#: destroyer ends it, not the reaper's search, and keeping the resource keeps it.
RESOURCE_VARIABLE = "CROSSCLOUD_RESOURCE"

#: Seconds between SIGTERM and SIGKILL to a process group whose time is over.
GRACE = 5.0


@dataclass(frozen=True)
class Completed:
    """A program that ended: exit code and both streams' text (redacted, lines in the order they came)."""

    argv: tuple[str, ...]
    code: int
    output: str  #: standard output alone
    errors: str  #: standard error alone

    @property
    def tail(self) -> str:
        """The last lines that say why it failed."""
        return "\n".join((self.errors.strip() or self.output.strip()).splitlines()[-20:])


@dataclass
class StageContext:
    """One running stage. Made by the engine; strategies, clouds and runners get it in their request."""

    key: str  #: e.g. ``build coredns-head``
    run: str  #: the run's id
    directory: Path  #: the stage's own folder below reports/out/: logs and evidence
    deadline: float = field(default_factory=lambda: time.monotonic() + 3600)  #: on the monotonic clock
    on_progress: Callable[[str], None] = lambda text: None
    _waiting_for: str = ""

    @property
    def log(self) -> Path:
        """The stage's log: every line of every program it ran, redacted."""
        return self.directory / f"{self.key.split()[0]}.log"

    def progress(self, text: str) -> None:
        """Say in one line what is happening now; shown beside the stage. Also what a deadline names."""
        self._waiting_for = text
        self.on_progress(redact(text))

    def write(self, text: str) -> None:
        """Append to the stage's log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as log:
            log.write(redact(text) if text.endswith("\n") else redact(text) + "\n")

    def remaining(self) -> float:
        """Seconds left.

        :raises DeadlineExceeded: none are; the message says what was being waited for.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self._expired()
        return left

    def wait_until(
        self, condition: Callable[[], bool], what: str, *, timeout: float | None = None, interval: float = 0.1
    ) -> None:
        """Poll ``condition`` every ``interval`` seconds until it holds, at most ``timeout`` seconds.

        :raises DeadlineExceeded: it did not in time.
        """
        self.progress(f"waiting for {what}")
        limit = time.monotonic() + timeout if timeout is not None else self.deadline
        while not condition():
            if time.monotonic() > min(limit, self.deadline):
                raise self._expired()
            time.sleep(interval)

    def _expired(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"{self.key}: deadline exceeded while {self._waiting_for or 'starting'}",
            remedy="raise the timeout in cross-cloud.yml, or see the stage's log for what held it up",
        )

    def command(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        on_line: Callable[[str], None] | None = None,
        check: bool = True,
        error_class: ErrorClass = ErrorClass.INFRASTRUCTURE,
    ) -> Completed:
        """Run a program to its end, within the stage's deadline, in a process group of its own.

        Each line goes to the stage's log and to ``on_line`` as it comes (redacted). ``env`` is added to this
        process's environment. Whatever ends the wait early (deadline, Ctrl-C) ends the process group.

        :raises DeadlineExceeded: the stage's time was over.
        :raises StageError: the program is not there; or it failed, unless ``check`` is False.
        """
        self.write("$ " + " ".join(argv))
        # A file, not a pipe: neither side ever waits for the other to read.
        with tempfile.TemporaryFile() as given:
            given.write((stdin or "").encode())
            given.seek(0)
            try:
                process = subprocess.Popen(
                    argv,
                    cwd=cwd,
                    env={**os.environ, **(env or {}), RUN_VARIABLE: self.run},
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise StageError(
                    f"{self.key}: program not found: {error.filename}",
                    remedy="crosscloud setup installs what is missing",
                    error_class=ErrorClass.CONFIGURATION,
                ) from error
        try:
            output, errors = self._stream(process, on_line)
            code = process.wait(self.remaining())
        except subprocess.TimeoutExpired:
            raise self._expired() from None
        finally:
            end_process_group(process)
        completed = Completed(tuple(argv), code, output, errors)
        if check and code != 0:
            raise StageError(
                f"{self.key}: {Path(argv[0]).name} exited with {code}: {completed.tail}", error_class=error_class
            )
        return completed

    def _stream(self, process: subprocess.Popen[bytes], on_line: Callable[[str], None] | None) -> tuple[str, str]:
        assert process.stdout and process.stderr
        texts: dict[int, list[str]] = {process.stdout.fileno(): [], process.stderr.fileno(): []}
        partial = dict.fromkeys(texts, b"")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with selectors.DefaultSelector() as selector, self.log.open("a", encoding="utf-8") as log:

            def take(fd: int, raw: bytes) -> None:
                line = redact(raw.decode(errors="replace"))
                texts[fd].append(line)
                log.write(line + "\n")
                log.flush()
                if on_line:
                    on_line(line)

            for fd in texts:
                selector.register(fd, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select(self.remaining()):
                    chunk = os.read(key.fd, 65536)
                    *lines, partial[key.fd] = (partial[key.fd] + chunk).split(b"\n")
                    for line in lines:
                        take(key.fd, line)
                    if not chunk:
                        if partial[key.fd]:
                            take(key.fd, partial[key.fd])
                        selector.unregister(key.fd)
        output, errors = ("\n".join(lines) for lines in texts.values())
        return output, errors


def end_process_group(process: subprocess.Popen[bytes]) -> None:
    """End a child that leads its own session, and whatever it started: SIGTERM, a grace, SIGKILL."""
    if process.poll() is None:
        _signal(process.pid, signal.SIGTERM)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            _signal(process.pid, signal.SIGKILL)
            process.wait()
    _signal(process.pid, signal.SIGKILL)  # members of the group that outlived their leader
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return
