"""What a running stage holds: its deadline, its log, its progress line, and the way it starts programs."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import disk
from .errors import DeadlineExceeded, StageError
from .model import ErrorClass
from .redact import redact
from .run.processes import GRACE as GRACE
from .run.processes import RESOURCE_VARIABLE as RESOURCE_VARIABLE
from .run.processes import RUN_VARIABLE as RUN_VARIABLE
from .run.processes import STAGE_VARIABLE as STAGE_VARIABLE
from .run.processes import end_all, of_group

#: Seconds between two looks at what a program has written.
INTERVAL = 0.05

#: Characters of a program's last line that are repeated when its time is over.
_LAST_WORDS = 200


@dataclass(frozen=True)
class Completed:
    """A program that ended: exit code and both streams' text (lines in the order they came; redacted if logged)."""

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
    guard: Callable[[], None] = lambda: None  #: raises when the stage must stop at once
    is_over: bool = False  #: whether somebody was told that its time is over
    _waiting_for: str = ""

    @property
    def log(self) -> Path:
        """The stage's log: every line of every program it ran, redacted."""
        return self.directory / f"{self.key.split()[0]}.log"

    @property
    def marks(self) -> dict[str, str]:
        """What the environment of every program carries that is started for this stage: it is found by that."""
        return {RUN_VARIABLE: self.run, STAGE_VARIABLE: self.key}

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
        :raises LeaseLost: what the stage works on is another run's now.
        """
        self.guard()
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self.expired()
        return left

    def wait(self, seconds: float) -> None:
        """Let ``seconds`` pass.

        :raises DeadlineExceeded: the stage has less; at once.
        """
        if seconds >= self.remaining():
            raise self.expired()
        time.sleep(seconds)

    def wait_until(
        self, condition: Callable[[], bool], what: str, *, timeout: float | None = None, interval: float = 0.1
    ) -> None:
        """Poll ``condition`` every ``interval`` seconds until it holds, at most ``timeout`` seconds.

        :raises DeadlineExceeded: it did not in time.
        """
        self.progress(f"waiting for {what}")
        limit = time.monotonic() + timeout if timeout is not None else self.deadline
        while not condition():
            self.guard()
            if time.monotonic() > min(limit, self.deadline):
                raise self.expired()
            time.sleep(interval)

    def expired(self) -> DeadlineExceeded:
        """To raise when the stage's time is over; the message says what was being waited for."""
        self.is_over = self.is_over or time.monotonic() >= self.deadline  # a wait may have had less time
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
        log: bool = True,
        error_class: ErrorClass = ErrorClass.INFRASTRUCTURE,
    ) -> Completed:
        """Run a program to its end, within the stage's deadline, in a process group of its own.

        Each line goes to the stage's log and to ``on_line`` as it comes (redacted); without ``log`` it is kept from
        the log and not redacted, for output that is a secret. ``env`` is added to this process's environment.
        However the wait ends (also by the deadline or Ctrl-C), the process group ends with it, within seconds, or
        as soon as Terraform has written down what it made: see ``run.processes.end_all``.

        :raises DeadlineExceeded: the stage's time was over.
        :raises StageError: the program is not there; or it failed, unless ``check`` is False.
        """
        self.write("$ " + " ".join(argv))
        # Files, not pipes: neither side waits for the other, what a program leaves running holds nothing up, and when
        # this process is killed the program can go on writing: terraform would die of it, and forget what it has made.
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as errors,
        ):
            given.write((stdin or "").encode())
            given.seek(0)
            try:
                process = subprocess.Popen(
                    argv,
                    cwd=cwd,
                    env={**os.environ, **(env or {}), **self.marks},
                    stdin=given,
                    stdout=output,
                    stderr=errors,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise StageError(
                    f"{self.key}: program not found: {error.filename}",
                    remedy="crosscloud setup installs what is missing",
                    error_class=ErrorClass.CONFIGURATION,
                ) from error
            try:
                texts = self._follow(Path(argv[0]).name, process, (output.fileno(), errors.fileno()), on_line, log)
            finally:
                # Only then is the leader reaped: as long as it is not, no other group gets its number.
                end_all(lambda: of_group(process.pid))
                process.poll()
        code = process.wait()
        completed = Completed(tuple(argv), code, *texts)
        if check and code != 0:
            full = disk.says_full(completed.tail)  # whatever was compiled then, it is not its fault
            raise StageError(
                f"{self.key}: {Path(argv[0]).name} exited with {code}: {redact(completed.tail)}",
                remedy=disk.REMEDY if full else "",
                error_class=ErrorClass.INFRASTRUCTURE if full else error_class,
                is_final=full,
            )
        return completed

    def _follow(
        self,
        program: str,
        process: subprocess.Popen[bytes],
        files: tuple[int, int],
        on_line: Callable[[str], None] | None,
        keep: bool,
    ) -> tuple[str, str]:
        """Read what the program writes to the files, until it has ended."""
        texts: dict[int, list[str]] = {fd: [] for fd in files}
        partial = dict.fromkeys(files, b"")
        position = dict.fromkeys(files, 0)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as log, os.fdopen(os.pidfd_open(process.pid), "rb", 0) as leader:
            last = ""

            def take(fd: int, raw: bytes) -> None:
                nonlocal last
                line = raw.decode(errors="replace")
                if keep:
                    line = redact(line)
                    last = line.strip() or last
                    log.write(line + "\n")
                    log.flush()
                texts[fd].append(line)
                if on_line:
                    on_line(line)

            poll = select.poll()
            poll.register(leader, select.POLLIN)
            ended = False
            while not ended:
                try:
                    ended = bool(poll.poll(min(INTERVAL, self.remaining()) * 1000))
                except DeadlineExceeded as error:
                    said = f", and said at last: {last[:_LAST_WORDS]}" if last else ""
                    error.message += f"; {program} still ran{said}"
                    raise
                for fd in files:
                    size = os.fstat(fd).st_size
                    # The position of the file itself is the program's.
                    while position[fd] < size and (chunk := os.pread(fd, 65536, position[fd])):
                        position[fd] += len(chunk)
                        *lines, partial[fd] = (partial[fd] + chunk).split(b"\n")
                        for line in lines:
                            take(fd, line)
            for fd, rest in partial.items():
                if rest:
                    take(fd, rest)
        output, errors = ("\n".join(texts[fd]) for fd in files)
        return output, errors
