"""Records of machines and networks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import string
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.machine import records
from pytest_crosscloud.machine.records import Machine, Network


def machine(name: str, run: str = "r1") -> Machine:
    return Machine(name, run, "net", "198.19.7.10", name, f"/disks/{name}")


def test_a_machine_is_found_by_name_and_by_run() -> None:
    records.put_machine(machine("a", "r1"))
    records.put_machine(machine("b", "r2"))
    assert records.machine("a") == machine("a", "r1")
    assert records.machines("r2") == [machine("b", "r2")]
    assert [record.name for record in records.machines()] == ["a", "b"]


def test_dropping_a_record_twice_is_once() -> None:
    records.put_machine(machine("a"))
    records.drop_machine("a")
    records.drop_machine("a")
    assert records.machine("a") is None
    assert records.machines() == []


def test_nothing_is_left_of_writing_but_the_record(directory: Path) -> None:
    records.put_machine(machine("a"))
    records.put_machine(machine("a"))
    assert [path.name for path in (directory / "machines").iterdir()] == ["a.json"]


def test_a_network_is_its_range() -> None:
    records.put_network(Network("198.19.7.0/24", "r1", "old"))
    records.put_network(Network("198.19.7.0/24", "r1", "net"))
    assert records.networks("r1") == [Network("198.19.7.0/24", "r1", "net")]
    assert records.networks("r1")[0].gateway == "198.19.7.1"


@pytest.mark.parametrize("name", ["", "../a", "a/b", "A", "-a", "a b", "a\n", "x" * 64])
def test_a_name_that_could_not_be_a_file_is_refused(name: str) -> None:
    with pytest.raises(CrosscloudError, match="not a valid name of a machine"):
        records.check_name("machine", name)


@given(st.text(string.ascii_lowercase + string.digits + "-._", min_size=1))
def test_interface_names_fit_the_kernels_15_characters(name: str) -> None:
    assert len(records.interface("ccb", name)) <= 15


def _hold(directory: Path, ready: int) -> None:
    records.DIRECTORY = directory
    with records.lock("machine a"):
        os.write(ready, b"x")
        signal.pause()


def test_a_lock_ends_with_its_killed_holder(directory: Path) -> None:
    out, ready = os.pipe()
    context = multiprocessing.get_context("fork")
    holder = context.Process(target=_hold, args=(directory, ready))
    holder.start()
    os.read(out, 1)
    with pytest.raises(CrosscloudError, match="machine a is in use"), records.lock("machine a", timeout=0):
        pass
    with records.lock("machine b", timeout=0):
        pass
    holder.kill()
    with records.lock("machine a"):  # waits until it is free
        pass
    holder.join()
    holder.close()
    os.close(out)
    os.close(ready)


def test_a_lock_is_held_against_the_threads_of_its_own_process(directory: Path) -> None:
    with ThreadPoolExecutor() as pool, records.lock("machine a"):
        with records.lock("networks", timeout=0):  # and the end of one is not the end of the others
            pass
        with pytest.raises(CrosscloudError, match="machine a is in use"):
            pool.submit(lambda: records.lock("machine a", timeout=0).__enter__()).result()
