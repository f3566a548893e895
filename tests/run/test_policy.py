"""The policy: who may run, who should, and that everybody does once, whatever the graph."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_crosscloud.run.graph import Stages
from pytest_crosscloud.run.policy import Queue, order


def build(name: str) -> Stages:
    return Stages(makes=(f"build {name}",))


def provision(name: str) -> Stages:
    return Stages(makes=(f"provision {name}",))


def cell(build: str, cluster: str) -> Stages:
    name = f"{build}-{cluster}"
    return Stages((f"build {build}", f"provision {cluster}"), (f"deploy {name}", f"e2e {name}"))


PLAIN = Stages()


def test_upstream_first_then_cells_then_plain_tests() -> None:
    tests = [PLAIN, cell("x", "1"), provision("1"), build("x"), PLAIN]
    assert order(tests) == [3, 2, 1, 0, 4]


def test_a_dependant_is_not_given_out_before_its_upstream_has_ended() -> None:
    queue = Queue([build("x"), provision("1"), cell("x", "1")])
    assert [queue.take(), queue.take(), queue.take()] == [0, 1, None]
    queue.end(0)
    assert queue.take() is None
    queue.end(1)
    assert queue.take() == 2


def test_the_longest_way_goes_first() -> None:
    """Nobody waits for build y, so provisioning, which a cell waits for, would be last by its own length alone."""
    alone = Stages(makes=("provision lone",))
    tests = [alone, provision("1"), Stages(("provision 1",), ("e2e a",))]
    assert order(tests)[0] == 1


def test_a_plain_test_runs_while_everything_else_waits() -> None:
    queue = Queue([PLAIN, build("x"), Stages(("build x",), ("e2e x",))])
    assert queue.take() == 1
    assert queue.take() == 0
    assert queue.take() is None


def test_what_would_only_wait_for_a_stage_is_the_last_choice() -> None:
    """No test makes the build: the first cell does, the second would wait, so the plain test goes before it."""
    queue = Queue([cell("x", "1"), cell("x", "2"), PLAIN])
    assert [queue.take(), queue.take(), queue.take()] == [0, 2, 1]


def test_a_held_test_is_the_first_choice_again_once_the_stage_is_there() -> None:
    queue = Queue([cell("x", "1"), cell("x", "2"), *[PLAIN] * 3])
    assert [queue.take(), queue.take()] == [0, 2]
    queue.end(0)
    assert queue.take() == 1


def test_what_was_given_back_is_given_out_again() -> None:
    queue = Queue([build("x"), cell("x", "1"), PLAIN])
    assert queue.take() == 0
    queue.give_back(0)
    assert [queue.take(), queue.take()] == [0, 2]
    queue.give_back(2)
    assert [queue.take(), queue.take()] == [2, None]


def test_a_circle_is_broken() -> None:
    assert sorted(order([Stages(("deploy b",), ("deploy a",)), Stages(("deploy a",), ("deploy b",))])) == [0, 1]


def test_plain_tests_are_not_batched_while_a_stage_could_run() -> None:
    queue = Queue([PLAIN, PLAIN, PLAIN, build("x")])
    assert queue.take_plain(9) == []
    assert queue.take() == 3
    assert queue.take_plain(2) == [0, 1]


STAGE_KEYS = st.sampled_from([f"{stage} {n}" for stage in ("build", "provision", "deploy", "e2e") for n in range(3)])
GRAPHS = st.lists(
    st.builds(
        lambda needs, makes: Stages(tuple(needs), tuple(makes)),
        st.sets(STAGE_KEYS, max_size=3),
        st.sets(STAGE_KEYS, max_size=2),
    ),
    max_size=12,
)


@given(GRAPHS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_whatever_the_graph_everything_runs_once_and_nobody_idles(tests: list[Stages], workers: int, random) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Also with circles, several makers of a stage, and workers that lose what they were given."""
    queue = Queue(tests)
    running: list[int] = []
    ended: list[int] = []
    while queue.left or running:
        while len(running) < workers and (index := queue.take()) is not None:
            running.append(index)
        assert running, "nothing runs, though something is left"
        index = running.pop(random.randrange(len(running)))
        if random.random() < 0.1:
            queue.give_back(index)
        else:
            queue.end(index)
            ended.append(index)
    assert sorted(ended) == list(range(len(tests)))


@given(GRAPHS, st.integers(1, 4))
def test_a_stage_that_a_test_makes_is_there_before_it_is_needed(tests: list[Stages], workers: int) -> None:
    """Of graphs without circles: each stage's number is above those that its makers need."""
    rank = {
        key: index
        for index, key in enumerate(f"{s} {n}" for s in ("build", "provision", "deploy", "e2e") for n in range(3))
    }
    tests = [
        Stages(tuple(need for need in test.needs if all(rank[need] < rank[make] for make in test.makes)), test.makes)
        for test in tests
    ]
    makers = {key: {index for index, test in enumerate(tests) if key in test.makes} for key in rank}
    queue = Queue(tests)
    running: list[int] = []
    ended: set[int] = set()
    while queue.left or running:
        while len(running) < workers and (index := queue.take()) is not None:
            for need in tests[index].needs:
                assert not makers[need] or makers[need] & ended, f"{index} runs before {need} is made"
            running.append(index)
        index = running.pop(0)
        queue.end(index)
        ended.add(index)
