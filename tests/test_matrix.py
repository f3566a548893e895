"""Selection: names and refs → cells with their ids, and what is said of wrong ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_crosscloud import config as configuration
from pytest_crosscloud import matrix as matrices
from pytest_crosscloud import paths, plugins
from pytest_crosscloud.config import Config
from pytest_crosscloud.errors import ConfigurationError
from pytest_crosscloud.matrix import Matrix
from pytest_crosscloud.model import Cloud
from tests.samples import write_clouds, write_projects


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Three clouds and three projects, one of each inactive, one of each with two archs."""
    root = tmp_path_factory.mktemp("root")
    write_clouds(
        root / "clouds/all.py",
        "name='local', order=1, is_default=True",
        "name='aws', order=2, arch=('amd64', 'arm64')",
        "name='azure', order=3, active=False",
    )
    write_projects(
        root / "projects/all.py",
        "name='coredns', order=1, arch=('amd64', 'arm64')",
        "name='prometheus', order=2",
        "name='tidb', active=False",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "data", lambda *parts: root.joinpath("none", *parts))
        return configuration.load(None, plugins.load(root), root)


def ids(matrix: Matrix) -> tuple[list[str], list[str], list[str]]:
    return tuple([target.id for target in part] for part in (matrix.builds, matrix.clusters, matrix.cells))  # type: ignore[return-value]


def error(config: Config, **options: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        matrices.select(config, **options)
    return caught.value.message


@pytest.fixture(scope="module")
def orchestra(config: Config) -> Config:
    """The same with a project that is Kubernetes, and a cloud whose nodes are made of its builds."""

    @dataclass(frozen=True, kw_only=True)
    class Here(Cloud):
        takes_node_bundle = True

    project = replace(config.projects["prometheus"], name="orchestra", is_kubernetes=True, arch=("amd64", "arm64"))
    here = Here(name="local", is_default=True)
    return replace(
        config,
        clouds={**config.clouds, "local": here},
        projects={"orchestra": project, "coredns": config.projects["coredns"]},
    )


# -- what is selected ---------------------------------------------------------------------------------------


def test_the_matrix_in_its_order(config: Config) -> None:
    assert ids(matrices.select(config, clouds="aws,local", projects="prometheus,coredns", refs="head,stable")) == (
        ["coredns-head", "coredns-stable", "prometheus-head", "prometheus-stable"],
        ["local", "aws"],
        [
            "coredns-head-local",
            "coredns-head-aws",
            "coredns-stable-local",
            "coredns-stable-aws",
            "prometheus-head-local",
            "prometheus-head-aws",
            "prometheus-stable-local",
            "prometheus-stable-aws",
        ],
    )


def test_defaults(config: Config) -> None:
    matrix = matrices.select(config)
    assert {cell.build.project for cell in matrix.cells} == {"coredns", "prometheus"}
    assert {cell.cluster.cloud for cell in matrix.cells} == {"local", "aws"}
    assert {cell.build.ref for cell in matrix.cells} == {"stable", "head"}
    assert {cell.cluster.kubernetes for cell in matrix.cells} == {"stable"}
    assert {cell.build.arch for cell in matrix.cells} == {"amd64"}


def test_projects_alone_are_tried_on_the_default_cloud(config: Config) -> None:
    assert ids(matrices.select(config, projects="coredns"))[1] == ["local"]
    assert ids(matrices.select(_with_default(config, "aws"), projects="coredns"))[1] == ["aws"]


def test_projects_alone_need_a_default_cloud(config: Config) -> None:
    assert "no cloud is the default" in error(_with_default(config, ""), projects="coredns")


def _with_default(config: Config, default: str) -> Config:
    clouds = {name: replace(cloud, is_default=name == default) for name, cloud in config.clouds.items()}
    return replace(config, clouds=clouds)


def test_clouds_alone_take_every_active_project(config: Config) -> None:
    assert ids(matrices.select(config, clouds="aws", refs="stable"))[0] == ["coredns-stable", "prometheus-stable"]


def test_kubernetes_and_arch_are_in_ids_when_there_are_several(config: Config) -> None:
    matrix = matrices.select(config, clouds="local,aws", refs="stable", kubernetes="stable,v1.35.0", arch="amd64,arm64")
    builds, clusters, cells = ids(matrix)
    assert builds == ["coredns-stable-amd64", "coredns-stable-arm64", "prometheus-stable-amd64"]
    assert clusters == [
        "local-stable-amd64",
        "local-v1.35.0-amd64",
        "aws-stable-amd64",
        "aws-stable-arm64",
        "aws-v1.35.0-amd64",
        "aws-v1.35.0-arm64",
    ]
    assert "coredns-stable-aws-v1.35.0-arm64" in cells
    assert "prometheus-stable-aws-v1.35.0-arm64" not in cells
    assert len(cells) == 6 + 4


def test_no_cluster_that_no_project_can_use(config: Config) -> None:
    matrix = matrices.select(config, clouds="aws", projects="prometheus", arch="amd64,arm64", refs="stable")
    assert ids(matrix) == (["prometheus-stable"], ["aws"], ["prometheus-stable-aws"])


def test_lists_take_spaces_and_repetitions(config: Config) -> None:
    assert matrices.select(config, clouds=" aws , local,aws,", refs="stable, stable") == matrices.select(
        config, clouds="local,aws", refs="stable"
    )


# -- what is wrong ------------------------------------------------------------------------------------------


def test_all_unknown_names_at_once(config: Config) -> None:
    assert error(config, clouds="asw,local,mars", projects="core-dns", arch="arm46").splitlines() == [
        "unknown cloud 'asw'; did you mean 'aws'? known: local, aws, azure",
        "unknown cloud 'mars'; known: local, aws, azure",
        "unknown project 'core-dns'; did you mean 'coredns'? known: coredns, prometheus, tidb",
        "unknown arch 'arm46'; did you mean 'arm64'? known: amd64, arm64",
    ]


def test_an_unknown_name_says_what_may_be_why(tmp_path: Path) -> None:
    (tmp_path / "clouds").mkdir()
    (tmp_path / "clouds/broken.py").write_text("1 / 0")
    (tmp_path / "cross-cloud.yml").write_text("clouds:\n  mars:\n  venus:\n")
    broken = configuration.load(None, plugins.load(tmp_path), tmp_path)
    lines = error(broken, clouds="mars").splitlines()
    assert lines[0].startswith("unknown cloud 'mars'; known: ")
    assert lines[1].startswith(f"  {tmp_path}/cross-cloud.yml:2: no plugin declares a cloud 'mars'")
    file = f"{tmp_path}/clouds/broken.py"
    assert lines[2:] == [f"broken plugin: {file}:1: cannot be imported: ZeroDivisionError: division by zero"]


def test_an_inactive_one_says_who_made_it_so(config: Config) -> None:
    message = error(config, clouds="azure", projects="tidb")
    assert "cloud 'azure' is not active; remove it from --clouds, or set clouds.azure.active to true" in message
    assert f"{config.plugins.rootdir}/projects/all.py says it is not" in message


@pytest.mark.parametrize("ref", ["-x", "a b", "a..b", "a~1", "a:b", "a^", "a?", "x.lock", "a//b", "/a", "a/", "a\x07"])
def test_what_git_would_not_take_is_no_ref(config: Config, ref: str) -> None:
    assert error(config, projects="coredns", refs=f"stable,{ref}") == f"--refs: {ref!r} is not a tag, branch or commit"


@pytest.mark.parametrize("ref", ["v1.2.3", "feature/x", "0123abc", "release-1.2", "größe", "a@b", "#7"])
def test_what_git_takes_is_one(config: Config, ref: str) -> None:
    assert matrices.select(config, projects="coredns", refs=ref).builds[0].ref == ref


@pytest.mark.parametrize("option", ["clouds", "projects", "refs", "kubernetes", "arch"])
def test_an_empty_list(config: Config, option: str) -> None:
    assert error(config, **{option: " , "}) == f"--{option} names nothing"


def test_a_selection_without_a_cell(config: Config) -> None:
    assert error(config, clouds="local", arch="arm64") == (
        "no project has an arch of a cloud with --arch=arm64: cloud local has amd64,"
        " project coredns has amd64/arm64, project prometheus has amd64"
    )


# -- ids ----------------------------------------------------------------------------------------------------


def test_ids_of_refs_are_file_names(config: Config) -> None:
    refs = f"feature/x,größe,{'long' * 30}"
    builds, _, cells = ids(matrices.select(config, projects="coredns", refs=refs))
    assert builds[:2] == ["coredns-feature-x", "coredns-gr-e"]
    assert all("/" not in id_ and id_.isascii() and len(id_) < 100 for id_ in cells)


def test_refs_that_look_alike_as_ids(config: Config) -> None:
    builds, _, cells = ids(matrices.select(config, projects="coredns", refs="feature/x,feature-x,other"))
    assert len(set(builds)) == len(set(cells)) == 3
    assert "coredns-other" in builds
    assert "coredns-feature-x" not in builds  # neither of the two is taken for the other


_LABELS = st.from_regex(r"[a-b]-?[a-b]{0,2}", fullmatch=True)
_REFS = st.text("ab-/.é", min_size=1, max_size=4).filter(lambda ref: not matrices._NOT_A_REF.search(ref))


@given(
    projects=st.lists(_LABELS, min_size=1, max_size=4, unique=True),
    clouds=st.lists(_LABELS, min_size=1, max_size=4, unique=True),
    refs=st.lists(_REFS, min_size=1, max_size=5, unique=True),
    kubernetes=st.lists(_REFS, min_size=1, max_size=3, unique=True),
)
def test_ids_are_unique_and_safe(config: Config, **names: Any) -> None:
    project, cloud = config.projects["coredns"], config.clouds["aws"]
    config = replace(
        config,
        projects={name: replace(project, name=name) for name in names["projects"]},
        clouds={name: replace(cloud, name=name) for name in names["clouds"]},
    )
    options = {option: ",".join(values) for option, values in names.items()}
    matrix = matrices.select(config, **options, arch="amd64,arm64")
    for part in ids(matrix):
        assert len(set(part)) == len(part)
        assert all(id_.isascii() and not set(id_) & set("/ \\:") and id_[0] not in "-." for id_ in part)
    assert len(matrix.cells) == 2 * len(names["projects"]) * len(names["clouds"]) * len(names["refs"]) * len(
        names["kubernetes"]
    )
    assert {cell.build for cell in matrix.cells} == set(matrix.builds)
    assert {cell.cluster for cell in matrix.cells} == set(matrix.clusters)


# -- narrowing ----------------------------------------------------------------------------------------------


def test_narrowing(config: Config) -> None:
    matrix = matrices.select(config)
    assert matrix.narrow(over="cells") == list(matrix.cells)
    assert matrix.narrow(over="builds") == list(matrix.builds)
    assert matrix.narrow(over="clusters") == list(matrix.clusters)
    assert [cell.id for cell in matrix.narrow(over="cells", projects=["coredns"], clouds="aws,mars")] == [
        "coredns-stable-aws",
        "coredns-head-aws",
    ]
    assert [build.id for build in matrix.narrow(over="builds", projects="prometheus")] == [
        "prometheus-stable",
        "prometheus-head",
    ]
    assert [cluster.id for cluster in matrix.narrow(over="clusters", clouds=("local",))] == ["local"]
    assert matrix.narrow(over="cells", clouds="") == []
    with pytest.raises(ConfigurationError, match="'cell' is no part of a matrix; did you mean 'cells'"):
        matrix.narrow(over="cell")


# -- Kubernetes as a project --------------------------------------------------------------------------------


def test_kubernetes_is_tested_on_clusters_of_its_own_ref(orchestra: Config) -> None:
    matrix = matrices.select(orchestra, clouds="local,aws", kubernetes="stable,head")
    assert [
        cell.id for cell in matrix.cells if cell.build.project == "orchestra" and cell.cluster.cloud == "local"
    ] == [
        "orchestra-stable-local-stable",
        "orchestra-head-local-head",
    ]
    assert len([cell for cell in matrix.cells if cell.build.project == "coredns"]) == 2 * 2 * 2
    made_of = {cluster.id: cluster.made_of for cluster in matrix.clusters}
    assert made_of == {
        "local-stable": "orchestra-stable",
        "local-head": "orchestra-head",
        "aws-stable": "",  # its nodes get Kubernetes elsewhere
        "aws-head": "",
    }


def test_a_cluster_is_made_of_the_build_of_its_own_arch(orchestra: Config) -> None:
    here = replace(orchestra.clouds["local"], arch=("amd64", "arm64"))
    config = replace(orchestra, clouds={"local": here})
    matrix = matrices.select(config, clouds="local", refs="stable", arch="amd64,arm64")
    assert [cluster.made_of for cluster in matrix.clusters] == ["orchestra-stable-amd64", "orchestra-stable-arm64"]


def test_builds_and_clusters_of_kubernetes_without_a_cell_are_left_out(orchestra: Config) -> None:
    matrix = matrices.select(orchestra, projects="orchestra", refs="stable,head,v1.2.3", kubernetes="stable,v1.0.0")
    assert ids(matrix) == (["orchestra-stable"], ["local-stable"], ["orchestra-stable-local-stable"])


def test_without_kubernetes_among_the_projects_clusters_find_theirs_themselves(orchestra: Config) -> None:
    assert {cluster.made_of for cluster in matrices.select(orchestra, projects="coredns").clusters} == {""}


def test_kubernetes_without_a_cluster_of_its_ref_is_told(orchestra: Config) -> None:
    message = error(orchestra, projects="coredns,orchestra", refs="head,v1.2.3")
    assert message == (
        "project orchestra has no cell: it is tested on clusters of its own ref, and"
        " --refs=head,v1.2.3 has none of --kubernetes=stable"
    )
    alone = replace(orchestra, projects={"orchestra": orchestra.projects["orchestra"]})
    assert "has no cell" in error(alone, refs="head")
    # Nobody asked for it by name: the others run.
    assert {cell.build.project for cell in matrices.select(orchestra, clouds="local", refs="head").cells} == {"coredns"}


def test_a_cluster_that_is_there_already_is_no_proof_of_a_version(orchestra: Config) -> None:
    theirs = Cloud(name="theirs", provides_cluster=False)
    config = replace(orchestra, clouds={**orchestra.clouds, "theirs": theirs})
    matrix = matrices.select(config, clouds="local,theirs", refs="stable")
    assert [cell.id for cell in matrix.cells if cell.build.project == "orchestra"] == ["orchestra-stable-local"]
    assert {cell.build.project for cell in matrices.select(config, clouds="theirs", refs="stable").cells} == {"coredns"}
    assert error(config, clouds="theirs", projects="orchestra", refs="stable") == (
        "project orchestra has no cell on theirs: a version is tested on clusters that the run makes of it"
    )
