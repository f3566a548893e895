"""Which failures are tried again, when, and how often."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_crosscloud.config import Retries
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import ErrorClass
from pytest_crosscloud.run.attempts import Attempts, gist

INFRASTRUCTURE = StageError("quota exceeded\nrequest id 7")
PRODUCT = StageError("2 of 9 checks failed", error_class=ErrorClass.PRODUCT)
CONFIGURATION = StageError("no such chart", error_class=ErrorClass.CONFIGURATION)
FINAL = StageError("the checksum is wrong", is_final=True)


def make(attempts: int = 3, backoff: float = 10.0, reruns: int = 0, number: int = 1) -> Attempts:
    return Attempts(Retries(attempts, backoff), reruns, number=number, spread=lambda low, high: (low + high) / 2)


def pauses(attempts: Attempts, error: StageError, left: float = math.inf) -> list[float]:
    found = []
    while again := attempts.after(error, left):
        found.append(again.pause)
        attempts.take(again, error)
    return found


def test_infrastructure_is_tried_again_after_pauses_that_double() -> None:
    attempts = make(4)
    assert pauses(attempts, INFRASTRUCTURE) == [10, 20, 40]
    assert (attempts.number, attempts.reason, attempts.is_flaky) == (4, "quota exceeded", False)


def test_the_next_attempt_says_how_many_there_may_be() -> None:
    attempts = make(3)
    again = attempts.after(INFRASTRUCTURE, math.inf)
    assert again and (again.total, again.is_rerun) == (3, False)
    attempts.take(again, INFRASTRUCTURE)
    again = attempts.after(INFRASTRUCTURE, math.inf)
    assert again and again.total == 3


@pytest.mark.parametrize("error", [PRODUCT, CONFIGURATION, FINAL])
def test_nothing_else_is_tried_again(error: StageError) -> None:
    assert pauses(make(), error) == []


@pytest.mark.parametrize("left", [-1.0, 0.0, 10.0])
def test_no_pause_goes_beyond_the_deadline(left: float) -> None:
    assert pauses(make(), INFRASTRUCTURE, left) == []
    assert pauses(make(backoff=0), INFRASTRUCTURE, max(left, 0)) == ([] if left <= 0 else [0, 0])


def test_attempts_of_a_dead_worker_count() -> None:
    assert pauses(make(3, number=2), INFRASTRUCTURE) == [20]
    assert pauses(make(3, number=3), INFRASTRUCTURE) == []
    assert pauses(make(3, number=7), INFRASTRUCTURE) == []


def test_a_red_product_is_run_again_on_request_and_at_once() -> None:
    attempts = make(reruns=2)
    again = attempts.after(PRODUCT, 0)
    assert again and (again.pause, again.total, again.is_rerun) == (0, 3, True)
    attempts.take(again, PRODUCT)
    assert attempts.is_flaky
    assert pauses(attempts, PRODUCT) == [0]
    assert attempts.after(CONFIGURATION, math.inf) is None


def test_pauses_differ() -> None:
    found = {round(again.pause, 6) for _ in range(20) if (again := Attempts(Retries()).after(INFRASTRUCTURE, 99.0))}
    assert len(found) > 10
    assert all(7.5 <= pause <= 12.5 for pause in found)


@given(
    st.integers(1, 5),
    st.integers(0, 3),
    st.lists(st.sampled_from([INFRASTRUCTURE, PRODUCT, CONFIGURATION, FINAL])),
    st.floats(0, 100),
)
def test_whatever_fails_the_bounds_hold(most: int, reruns: int, errors: list[StageError], left: float) -> None:
    attempts = Attempts(Retries(most, 1.0), reruns)
    made: list[StageError] = []
    for error in errors:
        again = attempts.after(error, left)
        if again is None:
            break
        assert again.pause < left or again.is_rerun
        assert attempts.number < again.total <= most + reruns
        attempts.take(again, error)
        made.append(error)
    assert attempts.number == len(made) + 1
    assert made.count(INFRASTRUCTURE) <= most - 1
    assert made.count(PRODUCT) <= reruns
    assert attempts.is_flaky == (PRODUCT in made)
    assert not {CONFIGURATION, FINAL} & set(made)


def test_the_gist_is_a_line_that_fits_into_another() -> None:
    assert gist(INFRASTRUCTURE) == "quota exceeded"
    assert len(gist(StageError("x" * 1000))) == 160
