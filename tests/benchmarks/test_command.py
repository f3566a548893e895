"""The benchmarks' command: figures are written as they are, and a measure that breaks stops no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import jsonschema
import pytest

from benchmarks.__main__ import main
from benchmarks.measure import Bench, Figure, Measure, NotMeasured, median
from benchmarks.registry import MEASURES


class Take(Protocol):
    """A measure's function: ``take`` with a name of its own."""

    __name__: str

    def __call__(self, bench: Bench) -> Iterator[Figure]: ...


SCHEMA = {
    "type": "object",
    "required": ["measures", "not_measured"],
    "additionalProperties": False,
    "properties": {
        "measures": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "value", "unit", "peer", "bound", "ok", "samples", "host"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "value": {"type": "number"},
                    "unit": {"type": "string"},
                    "peer": {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
                    "bound": {"type": ["number", "null"]},
                    "ok": {"type": ["boolean", "null"]},
                    "samples": {"type": "array", "items": {"type": "number"}},
                    "host": {"type": "object", "required": ["cores", "memory", "kernel", "system", "load"]},
                },
            },
        },
        "not_measured": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "reason"],
                "additionalProperties": {"type": "string"},
            },
        },
    },
}


def good(bench: Bench) -> Iterator[Figure]:
    yield median("good", [3.0, 1.0, 2.0], "s", bound=2.0, peer={"other": 35.6})


def bad(bench: Bench) -> Iterator[Figure]:
    yield median("bad", [9.0] * bench.runs, "s", bound=2.0)
    yield Figure("bad-unbounded", 1.23456, "s")


def refused(bench: Bench) -> Iterator[Figure]:
    yield Figure("refused-first", 1.0, "s")
    raise NotMeasured("no root", remedy="sudo")


def defective(bench: Bench) -> Iterator[Figure]:
    yield Figure("defective", 1 / 0, "s")


def measure(take: Take) -> Measure:
    name = take.__name__
    return Measure(name, f"what {name} measures", take)


def run(out: Path, *arguments: str, measures: tuple[Take, ...] = (good, bad)) -> tuple[int, dict[str, object]]:
    code = main(arguments, [measure(take) for take in measures], out)
    written = json.loads((out / "bench.json").read_text())
    jsonschema.validate(written, SCHEMA)
    return code, written


def test_figures_are_written_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, written = run(tmp_path)

    assert code == 0
    measures = written["measures"]
    assert isinstance(measures, list)
    assert [(one["name"], one["value"], one["ok"]) for one in measures] == [
        ("good", 2.0, True),
        ("bad", 9.0, False),
        ("bad-unbounded", 1.235, None),
    ]
    assert measures[0]["peer"] == {"other": 35.6}
    assert measures[0]["samples"] == [3.0, 1.0, 2.0]
    assert len(measures[1]["samples"]) == 5
    assert written["not_measured"] == []
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["good", "2", "s", "2", "s", "ok", "1", "to", "3,", "3", "other", "35.6"] in lines
    assert any(line[:6] == ["bad", "9", "s", "2", "s", "over"] for line in lines)
    assert any("load" in line and "cores," in line for line in lines)


def test_a_broken_measure_stops_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, written = run(tmp_path, measures=(defective, refused, good))

    assert code == 1
    measures, missed = written["measures"], written["not_measured"]
    assert isinstance(measures, list)
    assert isinstance(missed, list)
    assert [one["name"] for one in measures] == ["refused-first", "good"]
    assert [one["name"] for one in missed] == ["defective", "refused"]
    assert missed[1]["reason"] == "no root\n  sudo"
    errors = capsys.readouterr().err
    assert "defective was not measured: ZeroDivisionError" in errors
    assert "Traceback" not in errors
    assert "1 / 0" in (tmp_path / "bench/defective/error.log").read_text()


def test_one_measure_by_name(tmp_path: Path) -> None:
    _, written = run(tmp_path, "bad", "--runs", "2")

    measures = written["measures"]
    assert isinstance(measures, list)
    assert [one["name"] for one in measures] == ["bad", "bad-unbounded"]
    assert measures[0]["samples"] == [9.0, 9.0]


def test_what_was_measured_before_an_interrupt_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(bench: Bench) -> Iterator[Figure]:
        raise KeyboardInterrupt
        yield

    code, written = run(tmp_path, measures=(good, interrupted, bad))

    assert code == 130
    measures = written["measures"]
    assert isinstance(measures, list)
    assert [one["name"] for one in measures] == ["good"]
    assert "good" in capsys.readouterr().out.split("measure ")[1]


def test_an_unknown_name_is_answered_with_the_closest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["goood"], [measure(good), measure(bad)], tmp_path) == 4
    assert "did you mean 'good'?" in capsys.readouterr().err
    assert not (tmp_path / "bench.json").exists()


def test_list_takes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"], [measure(defective)], tmp_path) == 0
    assert capsys.readouterr().out.split() == ["defective", "what", "defective", "measures"]


def test_every_measure_is_registered_and_documented() -> None:
    alone = {"builds", "cluster", "first-run", "cell", "import", "leases", "matrix", "warm-demo"}
    assert {one.name for one in MEASURES} == alone | {
        "controller-kill",
        "kills",
        "makespan",
        "resume",
        "select",
        "sigterm",
        "trivial",
    }
    documented = Path(__file__).parents[2].joinpath("docs/benchmarks.md").read_text()
    assert [one.name for one in MEASURES if f"`{one.name}`" not in documented] == []
