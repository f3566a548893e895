"""Leases: a model of the protocol against the SQLite implementation, and processes that fight over one name."""

from __future__ import annotations

import multiprocessing
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as HypothesisBundle
from hypothesis.stateful import MultipleResults, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from pytest_crosscloud.run.leases import Heartbeat, Lease, LeaseLost
from pytest_crosscloud.run.processes import Process
from pytest_crosscloud.run.sqlite import SqliteLeases, SqliteStore

from .standin import eventually

NAMES = ("a", "b")
OWNERS = ("one", "two")
TTL = 10.0


class LeaseProtocol(RuleBasedStateMachine):
    """Whatever happens: at most one holder, tokens grow, and who lost a lease is told."""

    leases: HypothesisBundle[Lease] = HypothesisBundle("leases")

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.now = 1000.0
        self.store = SqliteStore(Path(self.folder.name) / "crosscloud.db")
        self.impl = SqliteLeases(self.store, clock=lambda: self.now)
        self.held: dict[str, Lease] = {}  # the last lease of each name, until it is released
        self.tokens = dict.fromkeys(NAMES, 0)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    def is_held(self, name: str) -> bool:
        return name in self.held and self.held[name].expires > self.now

    @rule(target=leases, name=st.sampled_from(NAMES), owner=st.sampled_from(OWNERS))
    def acquire(self, name: str, owner: str) -> Lease | MultipleResults[Lease]:
        lease = self.impl.acquire(name, owner, TTL)
        if self.is_held(name):
            assert lease is None, "granted twice"
            return multiple()
        assert lease is not None, "free, and refused"
        assert lease.token > self.tokens[name], "a token must grow"
        self.tokens[name] = lease.token
        self.held[name] = lease
        return lease

    @rule(target=leases, lease=consumes(leases))
    def renew(self, lease: Lease) -> Lease | MultipleResults[Lease]:
        ours = self.held.get(lease.name)
        if ours is None or ours.token != lease.token:
            with pytest.raises(LeaseLost):
                self.impl.renew(lease, TTL)
            return multiple()
        renewed = self.impl.renew(lease, TTL)
        assert renewed.token == lease.token and renewed.expires == self.now + TTL
        self.held[lease.name] = renewed
        return renewed

    @rule(lease=leases)
    def release(self, lease: Lease) -> None:
        self.impl.release(lease)
        if lease.name in self.held and self.held[lease.name].token == lease.token:
            del self.held[lease.name]

    @rule(seconds=st.floats(0.5, 15))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def holder_is_known(self) -> None:
        if hasattr(self, "impl"):
            for name in NAMES:
                assert (self.impl.holder(name) is not None) == self.is_held(name)


TestLeaseProtocol = LeaseProtocol.TestCase
TestLeaseProtocol.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "crosscloud.db"


def test_a_dead_owner_on_this_host_is_noticed_at_once(path: Path) -> None:
    child = subprocess.Popen(["sleep", "600"])
    owner = Process.of(child.pid)
    assert owner
    leases = SqliteLeases(SqliteStore(path))
    first = leases.acquire("cluster", str(owner), 3600)
    assert first and leases.acquire("cluster", "me", 3600) is None

    child.kill()
    child.wait()

    second = leases.acquire("cluster", "me", 3600)
    assert second and second.token > first.token
    with pytest.raises(LeaseLost):
        leases.renew(first, 3600)


def test_an_owner_on_another_host_is_believed_until_it_expires(path: Path) -> None:
    now = [0.0]
    leases = SqliteLeases(SqliteStore(path), clock=lambda: now[0])
    elsewhere = Process(1_000_000, 1, "another-boot/pid:[1]")
    assert leases.acquire("cluster", str(elsewhere), 60)
    assert leases.acquire("cluster", "me", 60) is None
    now[0] = 61
    assert leases.acquire("cluster", "me", 60)


def test_a_heartbeat_holds_a_lease_beyond_its_time_and_releases_it(path: Path) -> None:
    store = SqliteStore(path)
    leases = store.leases()
    lease = leases.acquire("cluster", "me", 0.3)
    assert lease
    with Heartbeat(store, lease, 0.3) as heartbeat:
        eventually(lambda: heartbeat.lease.expires > lease.expires + 0.5, "three heartbeats")
        assert leases.acquire("cluster", "you", 1) is None
        assert not heartbeat.lost.is_set()
    assert leases.acquire("cluster", "you", 1)


def test_a_heartbeat_says_when_the_lease_is_lost(path: Path) -> None:
    store = SqliteStore(path)
    leases = store.leases()
    lease = leases.acquire("cluster", "me", 0.001)
    assert lease
    told: list[str] = []
    time.sleep(0.002)
    theirs = leases.acquire("cluster", "you", 60)
    with Heartbeat(store, lease, 0.3, on_lost=lambda: told.append("lost")) as heartbeat:
        assert heartbeat.lost.wait(10)
    assert told == ["lost"]
    assert leases.holder("cluster") == theirs, "ending the block must not release what is another's"


def _fight(path: Path, file: Path, rounds: int) -> None:
    leases = SqliteLeases(SqliteStore(path))
    won = 0
    while won < rounds:
        lease = leases.acquire("cluster", str(Process.current()), 60)
        if lease is None:
            continue
        won += 1
        # Nobody else may be in here: creating the file fails if it is there.
        file.touch(exist_ok=False)
        with file.with_name("tokens").open("a") as tokens:
            tokens.write(f"{lease.token}\n")
        file.unlink()
        leases.release(lease)


def test_processes_never_hold_the_same_lease_at_once(path: Path) -> None:
    SqliteStore(path).close()
    fork = multiprocessing.get_context("fork")
    fighters = [fork.Process(target=_fight, args=(path, path.with_name("inside"), 50)) for _ in range(4)]
    for fighter in fighters:
        fighter.start()
    for fighter in fighters:
        fighter.join(60)
    assert [fighter.exitcode for fighter in fighters] == [0] * 4
    tokens = [int(line) for line in path.with_name("tokens").read_text().split()]
    assert tokens == sorted(set(tokens)) and len(tokens) == 200
