"""An edit of a YAML file changes one value, and nothing else that anybody wrote."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_crosscloud.errors import ConfigurationError
from pytest_crosscloud.yaml_edit import put

FILE = Path("cross-cloud.yml")


def edit(text: str, version: str = "v2", project: str = "demo") -> str:
    return put(text, ("projects", project, "stable_ref"), version, FILE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "projects:\n  demo:\n    stable_ref: v2\n"),
        ("# ours\n", "# ours\nprojects:\n  demo:\n    stable_ref: v2\n"),
        ("clouds: {}", "clouds: {}\nprojects:\n  demo:\n    stable_ref: v2"),
        ("a: 1\n\nb:\n    c: 1  # last\n\n# end\n",
         "a: 1\n\nb:\n    c: 1  # last\n\nprojects:\n    demo:\n        stable_ref: v2\n\n# end\n"),
        ("projects:\n  # demo: none\nclouds:\n", "projects:\n  demo:\n    stable_ref: v2\n  # demo: none\nclouds:\n"),
        ("projects:\n  demo:  # us\n", "projects:\n  demo:  # us\n    stable_ref: v2\n"),
        ("projects:\n  demo: ~\n", "projects:\n  demo: {stable_ref: v2}\n"),
        ("projects:\n  demo: {}\n", "projects:\n  demo: {stable_ref: v2}\n"),
        ("projects: {demo: }\n", "projects: {demo: {stable_ref: v2}}\n"),
        ("projects: {demo: {active: true}}\n", "projects: {demo: {stable_ref: v2, active: true}}\n"),
        ("projects: { other: { a: 1 } }\n", "projects: { demo: {stable_ref: v2}, other: { a: 1 } }\n"),
        ("projects:\n  demo: {  # x\n    a: 1}\n", "projects:\n  demo: {stable_ref: v2,  # x\n    a: 1}\n"),
        ("projects:\n  demo:\n    order: 1  # one\n    # two\n  other:\n",
         "projects:\n  demo:\n    order: 1  # one\n    stable_ref: v2\n    # two\n  other:\n"),
        ("projects:\n  demo:\n    stable_ref:   v1   # why\n", "projects:\n  demo:\n    stable_ref:   v2   # why\n"),
        ('projects:\n  demo:\n    stable_ref: "v1"\n', 'projects:\n  demo:\n    stable_ref: "v2"\n'),
        ("projects:\n  demo:\n    'stable_ref' :\n      'v1'\n",
         "projects:\n  demo:\n    'stable_ref' :\n      'v2'\n"),
        ("projects:\n  demo:\n    stable_ref:\n", "projects:\n  demo:\n    stable_ref: v2\n"),
        ("projects:\r\n  demo:\r\n    a: 1\r\n", "projects:\r\n  demo:\r\n    a: 1\r\n    stable_ref: v2\r\n"),
        ("projects:\n  other:\n    a: |\n      text\n\nclouds:\n",
         "projects:\n  other:\n    a: |\n      text\n\n  demo:\n    stable_ref: v2\nclouds:\n"),
        ("x: &x {stable_ref: v0}\nprojects:\n  demo:\n    <<: *x\n",
         "x: &x {stable_ref: v0}\nprojects:\n  demo:\n    <<: *x\n    stable_ref: v2\n"),
        ("projects:\n  demo: &demo\n    stable_ref: v1\n", "projects:\n  demo: &demo\n    stable_ref: v2\n"),
        ("---\nprojects:\n- demo\n", None),
    ],
)  # fmt: skip
def test_a_value_is_put_where_one_would_write_it(before: str, after: str | None) -> None:
    if after is None:
        with pytest.raises(ConfigurationError, match=r"cross-cloud.yml:3: .*that is no mapping"):
            edit(before)
    else:
        assert edit(before) == after


@pytest.mark.parametrize(
    ("version", "written"),
    [("1.10", "1.10"), ("2026", "'2026'"), ("true", "'true'"), ("it's", "'it''s'"), ("a:b", "'a:b'"), ("-x", "'-x'")],
)
def test_a_value_gets_quotes_where_it_would_be_something_else(version: str, written: str) -> None:
    assert (
        edit("projects:\n  demo:\n    stable_ref: v1\n", version) == f"projects:\n  demo:\n    stable_ref: {written}\n"
    )


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("v: &v v1\nprojects:\n  demo:\n    stable_ref: *v\n", 4, "it is an alias"),
        ("a: &a {b: 1}\nprojects:\n  demo: *a\n", 3, "it is an alias"),
        ("projects:\n  demo:\n    stable_ref: &v v1\n", 3, "it has an anchor or a tag"),
        ("projects:\n  demo:\n    stable_ref: |\n      v1\n", 3, "it is no text of one line"),
        ("projects:\n  demo: &d\n    stable_ref: v1\n  other: *d\n", 3, "means something in another place, too"),
        ("projects:\n  one: &d\n    a: 1\n  two:\n    <<: *d\n  demo: &e\n\n", 6, "it has an anchor or a tag"),
        ("projects:\n  demo:\n    a: 1\n...\n", 0, ""),
    ],
)
def test_what_is_not_safe_is_refused_with_its_place(text: str, line: int, why: str) -> None:
    if not line:
        assert edit(text) == "projects:\n  demo:\n    a: 1\n    stable_ref: v2\n...\n"
        return
    with pytest.raises(ConfigurationError) as caught:
        edit(text)
    assert caught.value.message.startswith(f"cross-cloud.yml:{line}: projects.demo.stable_ref cannot be changed safely")
    assert why in caught.value.message
    assert caught.value.remedy == "write it there yourself: stable_ref: v2"


# -- any file ---------------------------------------------------------------------------------------------------

NAMES = ("demo", "other", "third")
VERSIONS = st.from_regex(r"v?[0-9]{1,3}\.[0-9]{1,3}(\.[0-9]{1,2})?(-rc\.[0-9])?", fullmatch=True) | st.sampled_from(
    ["2026", "true", "null", "~", "it's", 'a"b', "release/1.0", "x#y", "1e3", "v1:2"]
)


@st.composite
def scalars(draw: st.DrawFn, value: str) -> str:
    """``value`` in one of the ways to write it."""
    quoted = [f"'{value.replace(chr(39), chr(39) * 2)}'", '"' + value.replace('"', '\\"') + '"']
    plain = [value] if re.fullmatch(r"v?[0-9]+\.[0-9.]+(-rc\.[0-9])?", value) else []
    return draw(st.sampled_from([*plain, *quoted]))


@st.composite
def files(draw: st.DrawFn) -> str:
    """A cross-cloud.yml as somebody might have written it."""
    step = " " * draw(st.sampled_from([2, 4, 3]))
    maybe = st.booleans()

    def note() -> str:
        return draw(st.sampled_from(["", "", "  # why: {not, a: flow}", " # stable_ref: v0", "   #"]))

    def between(indent: str) -> list[str]:
        return draw(st.sampled_from([[], [], [""], [f"{indent}# a comment: of its own"], ["# at the left", ""]]))

    def block_value(indent: str) -> list[str]:
        """The rest of a line behind ``key:``, and further lines."""
        return draw(
            st.sampled_from(
                [
                    [" 10"],
                    [" [amd64, arm64]"],
                    [f" [amd64,{chr(10)}{indent}{step}  arm64]"],
                    [f"{chr(10)}{indent}{step}- amd64{chr(10)}{indent}{step}- arm64"],
                    [f" |{chr(10)}{indent}{step}text: here{chr(10)}{indent}{step}  # no comment"],
                    [f" >-{chr(10)}{indent}{step}folded{chr(10)}"],
                    [f" two{chr(10)}{indent}{step}lines"],
                    [f"{chr(10)}{indent}{step}deep: {{a: 1}}"],
                    [" *shared"],
                    [""],
                ]
            )
        )

    def section(indent: str, name: str) -> list[str]:
        anchor = draw(st.sampled_from(["", "", "", f" &{name}"]))
        form = draw(st.sampled_from(["null", "tilde", "empty", "flow", "lines", "block", "block", "block"]))
        version = draw(scalars(draw(VERSIONS)))
        own = draw(maybe)
        if form == "null":
            return [f"{indent}{name}:{anchor}{note()}"]
        if form == "tilde":
            return [f"{indent}{name}: ~{note()}"]
        if form == "empty":
            return [f"{indent}{name}:{anchor} {{}}{note()}"]
        if form == "flow":
            entries = ["order: 1", *([f"stable_ref: {version}"] if own else []), *(["arch: *shared"] * draw(maybe))]
            pad = draw(st.sampled_from(["", " "]))
            return [f"{indent}{name}:{anchor} {{{pad}{', '.join(draw(st.permutations(entries)))}{pad}}}{note()}"]
        if form == "lines":
            return [f"{indent}{name}: {{{note()}", f"{indent}{step}order: 1,{note()}", f"{indent}{step}}}"]
        inner = indent + step
        parts = [[f"{inner}key{number}:{''.join(block_value(inner))}"] for number in range(draw(st.integers(0, 3)))]
        parts += [[f"{inner}order: 3{note()}"]]
        parts += [[f"{inner}stable_ref: {version}{note()}"]] if own else []
        parts += [[f"{inner}<<: *base"]] if draw(maybe) else []
        lines = [line for part in draw(st.permutations(parts)) for line in (*between(inner), *part)]
        return [f"{indent}{name}:{anchor}{note()}", *lines]

    def projects() -> list[str]:
        names = draw(st.lists(st.sampled_from(NAMES), unique=True))
        form = draw(st.sampled_from(["none", "null", "flow", "block", "block", "block"]))
        if form == "none":
            return []
        if form == "null" or not names:
            return [f"projects:{note()}", *between(step)]
        if form == "flow":
            entries = (f"{name}: {draw(st.sampled_from(['{}', '{order: 1}', '~', '*base']))}" for name in names)
            return [f"projects: {{{', '.join(entries)}}}{note()}"]
        lines = [line for name in names for line in (*between(step), *section(step, name))]
        return [f"projects:{note()}", *lines, *between(step)]

    first = ["shared: &shared [amd64]", *between(""), "base: &base", f"{step}order: 5", f"{step}stable_ref: v0.0.1"]
    others = [[f"clouds:{note()}", f"{step}local: {{order: 10}}"], ["cncf_relations:", "- Graduated", *between("")]]
    body = [line for part in draw(st.permutations([*others, projects()])) for line in (*between(""), *part)]
    start = draw(st.sampled_from([[], ["---"], ["# ours", ""], ["%YAML 1.1", "---"]]))
    text = "\n".join([*start, *first, *body])
    text += draw(st.sampled_from(["", "\n", "\n\n# the end\n", "\n...\n"]))
    return text.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n"])))


def says(text: str) -> Any:
    """What PyYAML's simplest reader makes of it: text, and merge keys as they stand."""
    return yaml.load(text, yaml.BaseLoader)


def _common(texts: list[str]) -> str:
    """What both begin with."""
    pairs = zip(*texts, strict=False)
    return "".join(one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def changed(old: str, new: str) -> tuple[str, str]:
    """What is another in the new text: the old and the new part."""
    start = len(_common([old, new]))
    end = len(_common([old[start:][::-1], new[start:][::-1]]))
    return old[start : len(old) - end], new[start : len(new) - end]


@given(text=files(), version=VERSIONS, name=st.sampled_from([*NAMES, "123"]))
@example(
    text="shared: &shared [a]\nbase: &base\n  order: 1\nprojects:\n  demo: {order: 1,}\n", version="1", name="demo"
)
def test_nothing_is_changed_but_the_one_value(text: str, version: str, name: str) -> None:
    before = says(text)
    try:
        after = put(text, ("projects", name, "stable_ref"), version, FILE)
    except ConfigurationError as error:
        assert re.match(r"cross-cloud\.yml:\d+: projects\.", error.message)
        # Only what is shared, or is more than a value, may be refused.
        assert re.search(rf"&{name}|\*base|\*shared|[|>]", text), error
        return

    expected: Mapping[str, Any] = {**before, "projects": {**(before.get("projects") or {})}}
    section = expected["projects"].get(name)
    expected["projects"][name] = {**(section if isinstance(section, dict) else {}), "stable_ref": version}
    assert says(after) == expected
    removed, added = changed(text, after)
    assert not re.search(r"\s#|\n", removed), "neither a comment nor a line is lost"
    assert len(removed) <= len("'v000.000.00-rc.0'")
    written = re.sub(r"[\s{}:,'\"\\]|projects|stable_ref|" + name, "", added)
    assert len(written) <= len(version)
    assert put(after, ("projects", name, "stable_ref"), version, FILE) == after


def test_some_files_are_not_refused() -> None:
    """What the property says nothing about: that it is not always refused."""
    text = "base: &base {a: 1}\nprojects:\n  demo:\n    <<: *base\n    b: |\n      c\n  other: {}\n"
    assert edit(edit(text), project="other") == (
        "base: &base {a: 1}\nprojects:\n  demo:\n    <<: *base\n    b: |\n      c\n    stable_ref: v2\n"
        "  other: {stable_ref: v2}\n"
    )
