"""YAML with positions: what scalars become, duplicates, and where a fault is said to be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_crosscloud.errors import ConfigurationError
from pytest_crosscloud.marked_yaml import Document


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("yaml") / "file.yml"


def document(path: Path, text: str) -> Document:
    path.write_text(text)
    return Document(path)


@pytest.mark.parametrize("version", ["1.10", "1.0", "010", "1e3", "0x1f", "1_000", "2026-11-22", "+5", "-0", "yes"])
def test_versions_stay_text(path: Path, version: str) -> None:
    assert document(path, f"ref: {version}").data == {"ref": version}


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("-3", -3), ("true", True), ("False", False), ("~", None), ("", None), ('"3"', "3")]
)
def test_plain_scalars(path: Path, text: str, value: object) -> None:
    assert document(path, f"key: {text}").data == {"key": value}


@given(value=st.integers())
def test_every_whole_number_keeps_its_text(path: Path, value: int) -> None:
    assert str(document(path, f"key: {value}").data["key"]) == str(value)


def test_an_empty_file_is_an_empty_mapping(path: Path) -> None:
    assert document(path, "# nothing\n").data == {}


def test_anchors_and_merge_keys(path: Path) -> None:
    found = document(path, "base: &base\n  a: 1\n  b: 2\nmore:\n  <<: *base\n  b: 3\n")
    assert found.data["more"] == {"a": 1, "b": 3}
    assert found.duplicates == []
    assert found.place(("more", "b")).endswith(":6:6")
    assert found.place(("more", "a")).endswith(":2:6")


def test_every_duplicate_is_found(path: Path) -> None:
    found = document(path, "a: 1\nb:\n  - {c: 1, c: 2}\na: 2\na: 3\n")
    assert [(fault.line, fault.column, fault.message) for fault in sorted(found.duplicates)] == [
        (3, 12, "duplicate key 'c': first on line 3"),
        (4, 1, "duplicate key 'a': first on line 1"),
        (5, 1, "duplicate key 'a': first on line 1"),
    ]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: b: c", ":1:5: "),
        ("a: [1,\n", ":2:1: "),
        ("a: !python/object:os.system {}", ":1:4: "),
        ("a: *nothing", ":1:4: "),
        ("a: 1\n---\nb: 2", ":2:1: "),
        ("a: &a [*a]", ":1:4: an alias that contains itself"),
        ("? {a: 1}\n: 2", ":1:3: "),
        ("a: \x01", ": not YAML: "),
        ("a:\n\tb: 1\n", ":2:1: a tab: YAML is indented with spaces"),
        ("a:\n  b: 1\n\tc: 2\n", ":3:1: a tab: YAML is indented with spaces"),
        ("a: 1\nb: \x00", ":2: a null character: UTF-16 without its mark, or no text; save it as UTF-8"),
    ],
)
def test_what_is_not_yaml_is_said_with_its_place(path: Path, text: str, where: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        document(path, text)
    assert str(caught.value).startswith(f"{path}{where}")


def test_utf_16_is_read_if_it_has_its_mark(path: Path) -> None:
    path.write_bytes("a: ä\nb: [\n".encode("utf-16"))
    with pytest.raises(ConfigurationError, match=r":3:1: "):
        Document(path)
    path.write_bytes("a: ä\n".encode("utf-16"))
    assert Document(path).data == {"a": "ä"}
    path.write_bytes("a: ä\n".encode("utf-16-le"))
    with pytest.raises(ConfigurationError, match="not UTF-8; save it as UTF-8"):
        Document(path)


def test_another_encoding_is_named_with_its_line(path: Path) -> None:
    path.write_bytes(b"a: 1\nb: \xe4\n")
    with pytest.raises(ConfigurationError, match=re.escape(f"{path}:2: not UTF-8; save it as UTF-8")):
        Document(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"{tmp_path}: is a folder")):
        Document(tmp_path)


def test_readings_show_what_duplicates_hide_and_leave_the_file_as_it_is(path: Path) -> None:
    found = document(path, "base: &base {x: 0}\na: {x: 1, x: 2}\na: {<<: *base}\n")
    assert [reading["a"] for reading in found.readings()] == [{"x": 2}, {"x": 1}, {"x": 0}]
    assert found.data["a"] == {"x": 0}
    assert found.place(("a",)).endswith(":3:4")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"{tmp_path}/no.yml: cannot be read: No such file")):
        Document(tmp_path / "no.yml")


_KEYS = st.text("abcdefghij", min_size=1, max_size=5)
_TREES: st.SearchStrategy[Any] = st.dictionaries(
    _KEYS,
    st.recursive(
        st.integers() | st.booleans() | st.text("xyz \n:", max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
        max_leaves=12,
    ),
    min_size=1,
    max_size=4,
)


@given(tree=_TREES, flow=st.booleans())
def test_every_place_is_where_its_value_stands(path: Path, tree: dict[str, Any], flow: bool) -> None:
    """Whatever the tree and the style: at a path's line and column, its value (or key) is what a parser reads."""
    found = document(path, yaml.safe_dump(tree, default_flow_style=flow, width=30))
    assert found.data == tree
    lines = path.read_text().splitlines()
    root = yaml.compose(path.read_text())
    assert root

    def check(node: yaml.Node, at: tuple[str | int, ...]) -> None:
        fault = found.fault(at, "wrong")
        assert (fault.line, fault.column) == (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                of_key = found.fault((*at, key.value), "wrong", key=True)
                assert lines[of_key.line - 1][of_key.column - 1 :].lstrip("'\"").startswith(key.value[:1])
                check(value, (*at, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                check(item, (*at, number))

    check(root, ())


def test_a_path_that_is_not_there_is_at_what_is_around_it(path: Path) -> None:
    found = document(path, "a:\n  b: 1\n")
    fault = found.fault(("a", "missing", 3), "is missing")
    assert (fault.line, fault.column, fault.message) == (2, 3, "a.missing[3]: is missing")
