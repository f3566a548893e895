"""cross-cloud.yml and cncfci.yml: precedence, the original's format, and every mistake at once."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_crosscloud import config as configuration
from pytest_crosscloud import paths, plugins
from pytest_crosscloud.config import Config, Retries
from pytest_crosscloud.errors import ConfigurationError
from pytest_crosscloud.model import BuildTarget, Cell, ClusterTarget, StageName
from tests.samples import write_clouds, write_projects

ORIGINAL = Path(__file__).with_name("original-cross-cloud.yml")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rootdir with clouds aws and packet, and projects kubernetes and coredns."""
    monkeypatch.setattr(paths, "data", lambda *parts: tmp_path.joinpath("none", *parts))
    write_clouds(
        tmp_path / "clouds/both.py", "name='aws', variables={'a': 1, 'b': 1}", "name='packet', arch=('arm64',)"
    )
    write_projects(
        tmp_path / "projects/coredns/__init__.py",
        "name='coredns', display_name='plugin', sub_title='plugin', stable_ref='plugin', head_ref='plugin'",
    )
    write_projects(tmp_path / "projects/kubernetes.py", "name='kubernetes', timeout=1")
    return tmp_path


def load(root: Path, text: str | None = None) -> Config:
    if text is not None:
        (root / "cross-cloud.yml").write_text(textwrap.dedent(text))
    return configuration.load(None, plugins.load(root), root)


def faults(root: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(root, text)
    return caught.value.message.replace(f"{root}/", "").splitlines()


# -- precedence ---------------------------------------------------------------------------------------------


def test_without_a_file_plugins_count(root: Path) -> None:
    config = load(root)
    assert config.path is None
    assert list(config.clouds) == ["aws", "packet"]
    assert config.projects["coredns"].stable_ref == "plugin"


def test_precedence(root: Path) -> None:
    cncfci = "project: {display_name: cncfci, sub_title: cncfci, stable_ref: cncfci}"
    (root / "projects/coredns/cncfci.yml").write_text(cncfci)
    project = load(root, "projects: {coredns: {sub_title: file, order: 1}}").projects["coredns"]
    assert (project.sub_title, project.display_name, project.head_ref) == ("file", "cncfci", "plugin")
    assert project.order == 1


def test_cncfci_beside_a_plugin_that_is_a_single_file(root: Path) -> None:
    folder = root / "projects/kubernetes"
    folder.mkdir()
    (folder / "cncfci.yml").write_text("project: {display_name: K8s}")
    assert load(root).projects["kubernetes"].display_name == "K8s"


def test_cncfci_at_a_local_configuration_repo_replaces_the_plugins(root: Path) -> None:
    (root / "projects/coredns/cncfci.yml").write_text("project: {display_name: beside, stable_ref: beside}")
    (root / "repo").mkdir()
    (root / "repo/cncfci.yml").write_text("project: {display_name: repo}")
    project = load(root, "projects: {coredns: {configuration_repo: ./repo}}").projects["coredns"]
    assert (project.display_name, project.stable_ref) == ("repo", "plugin")


def test_a_file_given_by_name_is_read_instead(root: Path) -> None:
    (root / "cross-cloud.yml").write_text("clouds: {aws: {order: 500}}")
    (root / "other.yml").write_text("clouds: {aws: {order: 7}}")
    config = configuration.load(root / "other.yml", plugins.load(root), root)
    assert config.clouds["aws"].order == 7


def test_a_file_given_by_name_must_be_there(root: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.yml: cannot be read: No such file"):
        configuration.load(root / "no.yml", plugins.load(root), root)


def test_variables_and_workers_go_over_the_plugins(root: Path) -> None:
    config = load(root, "clouds: {aws: {workers: 2, variables: {b: 2, version: 1.10}}}")
    assert config.variables("aws") == {"a": 1, "b": 2, "version": "1.10", "workers": 2}
    assert config.variables("packet") == {}


def test_order_then_name(root: Path) -> None:
    assert list(load(root, "clouds: {packet: {order: 1}}").clouds) == ["packet", "aws"]


def test_inactive_says_which_file_it_was(root: Path) -> None:
    config = load(root, "clouds:\n  aws:\n    active: false\n")
    assert not config.clouds["aws"].active
    assert config.deactivated["cloud", "aws"] == f"{root}/cross-cloud.yml:3:13"


def test_a_file_activates_what_its_plugin_did_not(root: Path) -> None:
    write_clouds(root / "clouds/off.py", "name='off', active=False")
    assert load(root).deactivated["cloud", "off"] == str(root / "clouds/off.py")
    config = load(root, "clouds: {off: {active: true}}")
    assert config.clouds["off"].active
    assert config.deactivated == {}


def test_timeouts(root: Path) -> None:
    config = load(
        root,
        """
        timeouts: {build: 10, e2e: 2.5}
        clouds: {aws: {timeout: 30}}
        projects: {coredns: {timeout: 40}}
        """,
    )
    build = BuildTarget("coredns", "stable", "amd64", "b")
    aws, packet = (ClusterTarget(cloud, "stable", "amd64", cloud) for cloud in ("aws", "packet"))
    cell = Cell(build, aws, "c")
    assert config.timeout(StageName.BUILD, build) == 10
    assert config.timeout(StageName.PROVISION, aws) == 30
    assert config.timeout(StageName.PROVISION, packet) == 1200
    assert config.timeout(StageName.DEPLOY, cell) == 40
    assert config.timeout(StageName.E2E, cell) == 2.5
    assert config.timeout(StageName.DEPLOY, replace(cell, build=replace(build, project="kubernetes"))) == 1


@pytest.mark.parametrize("state", ["gs://b/x", "s3://", "bucket"])
def test_a_state_that_is_no_bucket(root: Path, state: str) -> None:
    assert faults(root, f"state: {state}") == [f"cross-cloud.yml:1:8: state: must be s3://BUCKET/PREFIX, not {state!r}"]


def test_a_clouds_own_timeout_is_a_default(root: Path) -> None:
    config = load(root)
    slow = replace(config.plugins, clouds={"aws": replace(config.clouds["aws"], timeout=3600)})
    aws = ClusterTarget("aws", "stable", "amd64", "aws")
    assert configuration.load(None, slow, root / "nowhere").timeout(StageName.PROVISION, aws) == 3600
    for text in ("timeouts: {provision: 60}", "clouds: {aws: {timeout: 60}}"):
        (root / "cross-cloud.yml").write_text(text)
        assert configuration.load(root / "cross-cloud.yml", slow, root).timeout(StageName.PROVISION, aws) == 60


def test_what_the_user_says_of_timeouts_counts_before_what_a_project_declares(root: Path) -> None:
    write_projects(root / "projects/slow.py", "name='slow', timeout=1000, e2e=E2E(build=Strategy(), timeout=2000)")
    cell = Cell(BuildTarget("slow", "stable", "amd64", "b"), ClusterTarget("aws", "stable", "amd64", "aws"), "c")
    declared = load(root)
    assert declared.timeout(StageName.DEPLOY, cell) == 1000
    assert declared.timeout(StageName.E2E, cell) == 2060  # its container's time, and some more
    said = load(root, "timeouts: {deploy: 5, e2e: 3000}")
    assert said.timeout(StageName.DEPLOY, cell) == 5
    assert said.timeout(StageName.E2E, cell) == 3000
    assert said.projects["slow"].e2e and said.projects["slow"].e2e.timeout == 3000
    own = load(root, "timeouts: {deploy: 5}\nprojects: {slow: {timeout: 7}}")
    assert own.timeout(StageName.DEPLOY, cell) == 7
    plain = replace(cell, build=replace(cell.build, project="coredns"))
    assert declared.timeout(StageName.E2E, plain) == 900


def test_retries(root: Path) -> None:
    assert load(root).retries == Retries(attempts=3, backoff=10)
    assert load(root, "retries: {attempts: 5}").retries == Retries(attempts=5, backoff=10)
    assert load(root, "retries:").retries == Retries()


def test_names_of_kubernetes_versions(root: Path) -> None:
    config = load(root, "kubernetes: {stable: 1.35.0, old: v1.10}")
    assert config.resolve_kubernetes("stable").version == "v1.35.0"
    assert config.resolve_kubernetes("old").version == "v1.10"


def test_empty_sections(root: Path) -> None:
    config = load(root, "clouds:\nprojects:\n  coredns:\ncncf_relations:\ntimeouts:\nkubernetes:\ngitlab_pipeline:\n")
    assert list(config.projects) == ["coredns", "kubernetes"]
    assert load(root, "").cncf_relations == ()


# -- a file of the original ---------------------------------------------------------------------------------


def test_a_file_of_the_original_loads(root: Path) -> None:
    config = configuration.load(ORIGINAL, plugins.load(root), root)
    assert config.clouds["aws"].display_name == "Amazon AWS"
    assert not config.clouds["packet"].active
    assert list(config.projects) == ["kubernetes", "coredns"]
    coredns = config.projects["coredns"]
    assert (coredns.stable_ref, coredns.head_ref, coredns.timeout) == ("v1.10", "master", 900)
    assert config.projects["kubernetes"].arch == ("amd64", "arm64")
    assert config.cncf_relations == ("Graduated", "Incubating", "Linux Foundation")


def test_what_no_plugin_declares_is_a_problem_and_no_error(root: Path) -> None:
    config = configuration.load(ORIGINAL, plugins.load(root), root)
    assert [str(problem) for problem in config.problems] == [
        f"{ORIGINAL}:11: no plugin declares a cloud 'bluemix'; known: aws, packet",
        f"{ORIGINAL}:75: no plugin declares a project 'onap'; known: coredns, kubernetes",
    ]


def test_a_cncfci_file_of_the_original_loads(root: Path) -> None:
    (root / "projects/coredns/cncfci.yml").write_text(
        textwrap.dedent(
            """
            project:
              logo_url: https://raw.example.org/coredns.svg
              display_name: CoreDNS
              sub_title: Service Discovery
              project_url: https://github.com/coredns/coredns
              stable_ref: v1.6.0
              head_ref: master
              arch: [amd64, arm64]
              ci_system:
                - ci_system_type: travis-ci
                  ci_project_url: https://travis-ci.example.org/coredns/coredns
                  ci_project_name: coredns/coredns
                  arch: [amd64]
                  images:
                    - image_repository: coredns/coredns
                      head_tag: ci-head
            """
        )
    )
    assert load(root).projects["coredns"].arch == ("amd64", "arm64")


def test_the_repositorys_own_file_is_right() -> None:
    repository = Path(__file__).parents[1]
    config = configuration.load(repository / "cross-cloud.yml", plugins.load(repository), repository)
    assert config.problems == ()
    assert config.clouds["local"].active


# -- mistakes -----------------------------------------------------------------------------------------------


def test_all_mistakes_at_once_in_their_order(root: Path) -> None:
    (root / "projects/coredns/cncfci.yml").write_text("project: {sub_titel: x}")
    assert faults(
        root,
        """\
        clouds:
          aws: {actve: true}
          packet: {workers: -1, order: 1.5, timeout: soon}
        projects:
          coredns:
            sub_title: a sub-title that is much too long
            arch: [amd64, "x86 64"]
            head_ref: [1]
            stable_ref: v1
          kubernetes: master
        """,
    ) == [
        "cross-cloud.yml:2:9: clouds.aws.actve: unknown key; did you mean 'active'?"
        " known: active, display_name, order, arch, workers, max_clusters, timeout, variables",
        "cross-cloud.yml:3:21: clouds.packet.workers: must be at least 0, not -1",
        "cross-cloud.yml:3:32: clouds.packet.order: must be a whole number, not '1.5'",
        "cross-cloud.yml:3:46: clouds.packet.timeout: must be a number, not 'soon'",
        "cross-cloud.yml:6:16: projects.coredns.sub_title: must have at most 21 characters,"
        " not 'a sub-title that is much too long'",
        "cross-cloud.yml:7:19: projects.coredns.arch[1]: must be a name such as amd64 or arm64, not 'x86 64'",
        "cross-cloud.yml:8:15: projects.coredns.head_ref: must be text; put it in quotes",
        "cross-cloud.yml:10:15: projects.kubernetes: must be a mapping, not 'master'",
        "projects/coredns/cncfci.yml:1:11: project.sub_titel: unknown key; did you mean 'sub_title'?"
        " known: logo_url, display_name, sub_title, project_url, stable_ref, head_ref, arch, ci_system",
    ]


def test_duplicate_keys_with_both_lines(root: Path) -> None:
    assert faults(root, "clouds:\n  aws: {order: 1}\n  aws: {order: 2, ordr: 3}\n") == [
        "cross-cloud.yml:3:3: duplicate key 'aws': first on line 2",
        "cross-cloud.yml:3:19: clouds.aws.ordr: unknown key; did you mean 'order'?"
        " known: active, display_name, order, arch, workers, max_clusters, timeout, variables",
    ]


def test_a_duplicate_key_hides_no_fault_in_its_earlier_values(root: Path) -> None:
    text = """\
        clouds:
          aws: {order: first, order: second, order: 3}
          aws: {order: 4}
          packet: {order: last}
        """
    assert faults(root, text) == [
        "cross-cloud.yml:2:16: clouds.aws.order: must be a whole number, not 'first'",
        "cross-cloud.yml:2:23: duplicate key 'order': first on line 2",
        "cross-cloud.yml:2:30: clouds.aws.order: must be a whole number, not 'second'",
        "cross-cloud.yml:2:38: duplicate key 'order': first on line 2",
        "cross-cloud.yml:3:3: duplicate key 'aws': first on line 2",
        "cross-cloud.yml:4:19: clouds.packet.order: must be a whole number, not 'last'",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cloud: {}", ":1:1: cloud: unknown key; did you mean 'clouds'? known: clouds, projects,"),
        ("- a", ":1:1: must be a mapping"),
        ("clouds: [aws]", ":1:9: clouds: must be a mapping"),
        ("clouds: {aws: {active: maybe}}", ":1:24: clouds.aws.active: must be true or false, not 'maybe'"),
        ("clouds: {aws: {arch: []}}", ":1:22: clouds.aws.arch: must have at least 1 entry"),
        ("clouds: {aws: {timeout: .nan}}", ":1:25: clouds.aws.timeout: must be a "),
        ("cncf_relations: Graduated", ":1:17: cncf_relations: must be a list, not 'Graduated'"),
        ("timeouts: {destroy: 3}", ":1:12: timeouts.destroy: unknown key; did you mean 'deploy'? known: build,"),
        ("retries: {attempts: 0}", ":1:21: retries.attempts: must be at least 1, not 0"),
        ("retries: {backoff: -1}", ":1:20: retries.backoff: must be at least 0, not -1"),
        ("gitlab_pipeline: {x: {y: 1}}", ":1:23: gitlab_pipeline.x.y: unknown key; known: timeout, status_jobs"),
        ("projects: {coredns: {configuration_repo: ./no}}", ":1:42: projects.coredns.configuration_repo: "),
        ("a: [", ":2:1: "),
    ],
)
def test_a_mistake(root: Path, text: str, fault: str) -> None:
    [found] = faults(root, text)
    assert found.startswith(f"cross-cloud.yml{fault}")


def test_a_file_that_is_right_survives_one_that_is_not(root: Path) -> None:
    (root / "projects/coredns/cncfci.yml").write_text("project: [")
    [found] = faults(root, "clouds: {aws: {order: 1}}")
    assert found.startswith("projects/coredns/cncfci.yml:2:1: ")


def test_auto_takes_a_tag_back_that_was_said_below(root: Path) -> None:
    assert load(root, "projects: {coredns: {stable_ref: auto}}").projects["coredns"].stable_ref == ""
