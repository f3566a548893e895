"""The policy: who may run, who should, and that everybody does once, whatever the graph."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_crosscloud.run.graph import Stages
from pytest_crosscloud.run.limits import Limit
from pytest_crosscloud.run.policy import LONG, Queue, order


def build(name: str) -> Stages:
    return Stages(makes=(f"build {name}",))


def provision(name: str) -> Stages:
    return Stages(makes=(f"provision {name}",))


def cell(build: str, cluster: str) -> Stages:
    name = f"{build}-{cluster}"
    return Stages((f"build {build}", f"provision {cluster}"), (f"deploy {name}", f"e2e {name}"))


PLAIN = Stages()


def at_most(most: int, *clusters: str) -> Limit:
    return Limit(most, f"at most {most}", frozenset(clusters))


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
    assert queue.take_more(9, queue.is_plain) == []
    assert queue.take() == 3
    assert queue.take_more(2, queue.is_plain) == [0, 1]


def test_what_took_long_goes_first() -> None:
    tests = [provision("1"), provision("2"), cell("x", "1"), cell("x", "2"), build("x")]
    took = {"build x": 0.1, "provision 1": 5, "provision 2": 6}
    assert order(tests, durations={**took, "e2e x-1": 9, "e2e x-2": 1}) == [0, 4, 2, 1, 3]
    assert order(tests, durations={**took, "e2e x-1": 1, "e2e x-2": 9}) == [1, 4, 3, 0, 2]


def test_a_stage_that_never_ran_takes_as_long_as_its_like() -> None:
    """Of provision 2 nothing is known: it is reckoned with the mean of 1 and 3, and so comes between them."""
    tests = [provision("1"), provision("2"), provision("3")]
    assert order(tests, durations={"provision 1": 1, "provision 3": 500, "build x": 9999}) == [2, 1, 0]


def test_a_users_test_counts_with_its_own_time() -> None:
    tests = [provision("1"), Stages(("provision 1",)), provision("2"), Stages(("provision 2",))]
    nodeids = ["p1", "t1", "p2", "t2"]
    assert order(tests, durations={"t1": 2.0, "t2": 1.0}, nodeids=nodeids)[0] == 0
    assert order(tests, durations={"t1": 1.0, "t2": 2.0}, nodeids=nodeids)[0] == 2


def test_a_plain_test_that_is_known_to_be_long_leaves_its_place() -> None:
    nodeids = ["a", "b", "c"]
    assert order([PLAIN] * 3, durations={"b": LONG - 0.1, "c": 1.0}, nodeids=nodeids) == [0, 1, 2]
    assert order([PLAIN] * 3, durations={"b": LONG, "c": 1.0}, nodeids=nodeids) == [1, 0, 2]


def test_a_limit_keeps_a_cluster_shut_until_another_had_its_last_test() -> None:
    queue = Queue([provision("1"), provision("2"), cell("x", "1"), cell("y", "1"), PLAIN], [at_most(1, "1", "2")])
    assert [queue.take(), queue.take(), queue.take()] == [0, 4, None]
    queue.end(0)
    assert [queue.take(), queue.take(), queue.take()] == [2, 3, None]
    queue.end(2)
    assert queue.take() is None
    queue.end(3)
    assert queue.take() == 1


def test_a_clouds_limit_holds_up_no_other_cloud() -> None:
    queue = Queue([provision(name) for name in "abc"], [at_most(1, "a", "b")])
    assert [queue.take(), queue.take(), queue.take()] == [0, 2, None]


def test_a_limit_gives_way_where_it_would_be_waited_for_for_ever() -> None:
    two = Stages(("provision 1", "provision 2"), ("e2e x",))
    assert order([two], [at_most(1, "1", "2")]) == [0]


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


@st.composite
def matrices(draw: st.DrawFn) -> tuple[list[Stages], list[Limit], dict[str, float]]:
    """What tests of a matrix are: bundled and users' own, some deselected, in any order, with limits and durations."""
    builds, clusters = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    names = [(f"b{b}", f"c{c}") for b in range(builds) for c in range(clusters)]
    possible = [
        *(build(f"b{number}") for number in range(builds)),
        *(provision(f"c{number}") for number in range(clusters)),
        *(cell(*name) for name in names),
        *(cell(*name) for name in names),
        PLAIN,
        PLAIN,
    ]
    tests = draw(st.permutations(possible))[: draw(st.integers(0, len(possible)))]
    every = [f"c{number}" for number in range(clusters)]
    limits = [at_most(draw(st.integers(1, clusters)), *every), at_most(draw(st.integers(1, 2)), *every[::2])]
    keys = sorted({stage for test in tests for stage in test.touched})
    durations = draw(st.dictionaries(st.sampled_from(keys), st.floats(0.1, 1000), max_size=8)) if keys else {}
    return tests, limits[: draw(st.integers(0, 2))], durations


@given(matrices(), st.integers(1, 6), st.randoms(use_true_random=False))
def test_limits_are_kept_and_hold_up_nothing_else(  # type: ignore[no-untyped-def]
    matrix: tuple[list[Stages], list[Limit], dict[str, float]],
    workers: int,
    random,  # noqa: ANN001
) -> None:
    """Whatever the matrix, also when workers lose what they were given."""
    tests, limits, durations = matrix
    queue = Queue(tests, limits, durations)
    running: list[int] = []
    ended: set[int] = set()
    begun: set[int] = set()

    def clusters(index: int) -> set[str]:
        return {key.removeprefix("provision ") for key in tests[index].touched if key.startswith("provision")}

    def is_open() -> set[str]:
        left = set(range(len(tests))) - ended
        return {cluster for index in begun for cluster in clusters(index)} & {c for i in left for c in clusters(i)}

    def may_run(index: int) -> bool:
        ready = all(
            any(maker in ended for maker in makers) or not makers
            for need in tests[index].needs
            for makers in [[other for other, test in enumerate(tests) if need in test.makes and other != index]]
        )
        new = clusters(index) - is_open()
        return ready and not any(
            len((is_open() | new) & limit.clusters) > limit.most for limit in limits if new & limit.clusters
        )

    while queue.left or running:
        while len(running) < workers and (index := queue.take()) is not None:
            assert may_run(index), f"{tests[index]} was given out too early"
            running.append(index)
            begun.add(index)
            assert all(len(is_open() & limit.clusters) <= limit.most for limit in limits)
        if len(running) < workers:
            idle_for = [i for i in range(len(tests)) if i not in ended and i not in running and may_run(i)]
            assert not idle_for, f"a worker idles, and could run {[tests[index] for index in idle_for]}"
        assert running, "nothing runs, though something is left"
        index = running.pop(random.randrange(len(running)))
        if random.random() < 0.1:
            queue.give_back(index)
        else:
            queue.end(index)
            assert index not in ended
            ended.add(index)
    assert ended == set(range(len(tests)))
