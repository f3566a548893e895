"""Leases: a model of the protocol, its contract, and processes that fight over one name; all of it for each place."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as HypothesisBundle
from hypothesis.stateful import (
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from pytest_crosscloud.errors import ConfigurationError, CrosscloudError
from pytest_crosscloud.run.leases import Heartbeat, Lease, LeaseLost, Leases, open_leases
from pytest_crosscloud.run.processes import Process
from pytest_crosscloud.run.registers import RegisterLeases
from pytest_crosscloud.run.sqlite import SqliteStore
from tests import bucket

from .places import PLACES, Place
from .standin import eventually, sleeper

NAMES = ("cluster/a", "cloud/b/slot-1")
OWNERS = ("run/one", "run/two")
TTL = 10.0


@pytest.fixture(scope="module")
def bucket_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with bucket.server(tmp_path_factory.mktemp("moto")) as url, pytest.MonkeyPatch.context() as patch:
        for name, value in bucket.environment(url).items():
            patch.setenv(name, value)
        yield url


# -- a model of the protocol ----------------------------------------------------------------------------------


class LeaseProtocol(RuleBasedStateMachine):
    """Whatever happens: at most one holder, tokens grow, and who lost a lease is told."""

    place: str
    leases: HypothesisBundle[Lease] = HypothesisBundle("leases")

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix=f"{uuid.uuid4().hex}-")
        self.now = 1000.0
        # Two of them, as two processes have: what one does the other sees.
        self.impls = [
            RegisterLeases(PLACES[self.place](Path(self.folder.name)), clock=lambda: self.now) for _ in range(2)
        ]
        self.held: dict[str, Lease] = {}  # the last lease of each name, until it is released
        self.tokens = dict.fromkeys(NAMES, 0)
        self.process: subprocess.Popen[bytes] | None = None  # an owner on this host
        self.dead: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "impls"):
            self.end_process()
            for impl in self.impls:
                impl.close()
            self.folder.cleanup()

    def is_held(self, name: str) -> bool:
        lease = self.held.get(name)
        return lease is not None and lease.expires > self.now and lease.owner not in self.dead

    @rule(target=leases, name=st.sampled_from(NAMES), owner=st.sampled_from(OWNERS), impl=st.integers(0, 1))
    def acquire(self, name: str, owner: str, impl: int) -> Lease | MultipleResults[Lease]:
        lease = self.impls[impl].acquire(name, owner, TTL)
        if self.is_held(name):
            assert lease is None, "granted twice"
            return multiple()
        assert lease is not None, "free, and refused"
        assert lease.token > self.tokens[name], "a token must grow"
        assert lease == Lease(name, owner, lease.token, self.now + TTL)
        self.tokens[name] = lease.token
        self.held[name] = lease
        return lease

    @rule(target=leases, name=st.sampled_from(NAMES), impl=st.integers(0, 1))
    def acquire_for_a_process(self, name: str, impl: int) -> Lease | MultipleResults[Lease]:
        self.process = self.process or sleeper()
        owner = Process.of(self.process.pid)
        return self.acquire(name, str(owner), impl)

    @precondition(lambda self: getattr(self, "process", None) is not None)
    @rule()
    def owner_dies(self) -> None:
        assert self.process
        self.dead.add(str(Process.of(self.process.pid)))
        self.end_process()

    def end_process(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    @rule(target=leases, lease=consumes(leases), impl=st.integers(0, 1))
    def renew(self, lease: Lease, impl: int) -> Lease | MultipleResults[Lease]:
        ours = self.held.get(lease.name)
        if ours is None or ours.token != lease.token:
            with pytest.raises(LeaseLost):
                self.impls[impl].renew(lease, TTL)
            return multiple()
        renewed = self.impls[impl].renew(lease, TTL)
        assert renewed.token == lease.token and renewed.expires == self.now + TTL
        self.held[lease.name] = renewed
        return renewed

    @rule(lease=leases, impl=st.integers(0, 1))
    def release(self, lease: Lease, impl: int) -> None:
        self.impls[impl].release(lease)
        if lease.name in self.held and self.held[lease.name].token == lease.token:
            del self.held[lease.name]

    @rule(seconds=st.floats(0.5, 15))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def holder_is_known(self) -> None:
        if hasattr(self, "impls"):
            for name in NAMES:
                expected = self.held[name] if self.is_held(name) else None
                assert [impl.holder(name) for impl in self.impls] == [expected, expected]


class SqliteProtocol(LeaseProtocol):
    place = "sqlite"


class DirectoryProtocol(LeaseProtocol):
    place = "directory"


class S3Protocol(LeaseProtocol):
    place = "s3"


TestSqliteProtocol = SqliteProtocol.TestCase
TestSqliteProtocol.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestDirectoryProtocol = DirectoryProtocol.TestCase
TestDirectoryProtocol.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestS3Protocol = pytest.mark.usefixtures("bucket_url")(S3Protocol.TestCase)
TestS3Protocol.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)


# -- the contract ---------------------------------------------------------------------------------------------


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "s3":
        request.getfixturevalue("bucket_url")
    where = tmp_path / uuid.uuid4().hex
    where.mkdir()
    return Place(request.param, where)


def test_what_is_taken_is_given_to_nobody_until_it_is_given_back(place: Place) -> None:
    ours, theirs = RegisterLeases(place()), RegisterLeases(place())
    first = ours.acquire("cluster/xc-1", "run/one", 3600)
    assert first
    assert ours.acquire("cluster/xc-1", "run/one", 3600) is None, "not to the same owner either"
    assert theirs.acquire("cluster/xc-1", "run/two", 3600) is None
    assert theirs.holder("cluster/xc-1") == first
    assert theirs.acquire("cluster/xc-2", "run/two", 3600), "another name is another thing"

    ours.release(first)

    assert theirs.holder("cluster/xc-1") is None
    second = theirs.acquire("cluster/xc-1", "run/two", 3600)
    assert second and second.token > first.token


def test_time_is_that_of_the_place_and_a_lease_ends_by_it(place: Place) -> None:
    leases = RegisterLeases(place())
    lease = leases.acquire("cluster", "run/one", 3600)
    # A second, for a bucket's time has no finer ones.
    assert lease and abs(lease.expires - time.time() - 3600) < 2
    brief = leases.acquire("brief", "run/one", 0.001)
    assert brief
    eventually(lambda: leases.holder("brief") is None, "the end of a short lease")
    assert leases.renew(brief, 60).expires > brief.expires, "nobody took it since: a laptop may have slept"


def test_who_was_held_up_learns_it_and_changes_nothing(place: Place) -> None:
    now = [1000.0]
    leases = RegisterLeases(place(), clock=lambda: now[0])
    old = leases.acquire("cluster", "run/one", 60)
    now[0] += 61
    new = leases.acquire("cluster", "run/two", 60)
    assert old and new

    with pytest.raises(LeaseLost, match="cluster was lost"):
        leases.renew(old, 3600)
    leases.release(old)

    assert leases.holder("cluster") == new


def test_a_dead_owner_on_this_host_is_noticed_at_once(place: Place) -> None:
    child = subprocess.Popen(["sleep", "600"])
    owner = Process.of(child.pid)
    assert owner
    leases = RegisterLeases(place())
    first = leases.acquire("cluster", str(owner), 3600)
    assert first and leases.acquire("cluster", "me", 3600) is None

    child.kill()
    child.wait()

    second = leases.acquire("cluster", "me", 3600)
    assert second and second.token > first.token
    with pytest.raises(LeaseLost):
        leases.renew(first, 3600)


def test_an_owner_on_another_host_is_believed_until_it_expires(place: Place) -> None:
    now = [0.0]
    leases = RegisterLeases(place(), clock=lambda: now[0])
    elsewhere = Process(1_000_000, 1, "another-boot/pid:[1]")
    assert leases.acquire("cluster", str(elsewhere), 60)
    assert leases.acquire("cluster", "me", 60) is None
    now[0] = 61
    assert leases.acquire("cluster", "me", 60)


def test_a_heartbeat_holds_a_lease_beyond_its_time_and_releases_it(place: Place) -> None:
    leases = RegisterLeases(place())
    lease = leases.acquire("cluster", "me", 1.5)
    assert lease
    with Heartbeat(leases, lease, 1.5) as heartbeat:
        eventually(lambda: heartbeat.lease.expires > lease.expires + 1.5, "heartbeats")
        assert leases.acquire("cluster", "you", 1) is None
        assert not heartbeat.lost.is_set()
    assert leases.acquire("cluster", "you", 1)


def test_a_heartbeat_says_when_the_lease_is_lost(place: Place) -> None:
    now = [1000.0]
    leases = RegisterLeases(place(), clock=lambda: now[0])
    lease = leases.acquire("cluster", "me", 1)
    assert lease
    told: list[str] = []
    now[0] += 2
    theirs = leases.acquire("cluster", "you", 60)
    with Heartbeat(leases, lease, 0.3, on_lost=lambda: told.append("lost")) as heartbeat:
        assert heartbeat.lost.wait(10)
    assert told == ["lost"]
    assert leases.holder("cluster") == theirs, "ending the block must not release what is another's"


def test_processes_never_hold_the_same_lease_at_once(place: Place, tmp_path: Path) -> None:
    rounds = 5 if place.kind == "s3" else 50
    arguments = (place.kind, str(place.where), str(tmp_path / "inside"), str(rounds))
    command = [sys.executable, "-m", "tests.run.places", *arguments]
    fighters = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(4)]
    assert [fighter.wait(60) for fighter in fighters] == [0] * 4
    tokens = [int(line) for line in (tmp_path / "tokens").read_text().split()]
    assert tokens == sorted(set(tokens)) and len(tokens) == 4 * rounds


def test_an_answer_that_is_lost_is_no_refusal(place: Place) -> None:
    class Unreliable:
        """Writes, and says that it did not: as when the answer is lost, and the request is sent again."""

        def __init__(self) -> None:
            self._register = place()
            self.read = self._register.read
            self.close = self._register.close

        def replace(self, name: str, version: str, text: str) -> bool:
            self._register.replace(name, version, text)
            return False

    leases = RegisterLeases(Unreliable())
    lease = leases.acquire("cluster", "run/one", 60)
    assert lease and lease.token == 1
    assert leases.renew(lease, 120).token == 1
    leases.release(lease)
    assert leases.holder("cluster") is None


def test_what_another_program_wrote_there_is_named(place: Place) -> None:
    assert place().replace("cluster", "", "hello")
    with pytest.raises(CrosscloudError, match="lease of cluster cannot be read: 'hello'"):
        RegisterLeases(place()).acquire("cluster", "run/one", 60)


# -- addresses ------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "crosscloud.db")
    yield store
    store.close()


def test_without_an_address_leases_are_the_stores(store: SqliteStore) -> None:
    lease = open_leases("", store).acquire("cluster", "me", 60)
    assert store.leases().holder("cluster") == lease


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("relative/path", "'relative/path' is no place for leases"),
        ("http://host/leases", "'http://host/leases' is no place for leases"),
        ("{tmp}/nowhere", "there is no directory {tmp}/nowhere"),
        ("{tmp}/file", "there is no directory {tmp}/file"),
        ("s3://", "an address of a bucket is s3://bucket"),
        ("s3://key:secret@bucket/x", "an address of a bucket is s3://bucket"),
    ],
)
def test_an_address_that_is_none_is_answered_with_one(
    store: SqliteStore, tmp_path: Path, address: str, message: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as caught:
        open_leases(address.format(tmp=tmp_path), store)
    assert message.format(tmp=tmp_path) in caught.value.message
    assert caught.value.remedy
    assert "secret@" not in str(caught.value)


def test_a_directory_that_cannot_be_written_is_named(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*arguments: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(ConfigurationError, match="cannot be used: Operation not permitted"):
        open_leases(str(tmp_path), store)


def test_in_a_directory_at_an_address_all_see_the_same(store: SqliteStore, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    opened: list[Leases] = [open_leases(str(shared), store) for _ in range(2)]
    assert opened[0].acquire("cluster", "me", 60)
    assert opened[1].acquire("cluster", "you", 60) is None
    assert store.leases().acquire("cluster", "you", 60), "this host's own are others"
