"""What an e2e container cannot see, because it has no access to the cluster. Runs with --clouds, once for each cell."""

from __future__ import annotations

import pytest

from pytest_crosscloud.kube import Api
from pytest_crosscloud.model import Artifacts, Cluster, Release


@pytest.mark.crosscloud(projects="tally")
def test_what_runs_is_what_was_built(artifacts: Artifacts, release: Release, cluster: Cluster) -> None:
    pods = Api(cluster.kubeconfig).get(
        f"/api/v1/namespaces/{release.namespace}/pods", labelSelector=f"app.kubernetes.io/instance={release.name}"
    )["items"]
    assert [pod["spec"]["containers"][0]["image"] for pod in pods] == [artifacts.pins[0].reference]


@pytest.mark.crosscloud(projects="tally")
def test_votes_are_counted_behind_the_api_server(release: Release, cluster: Cluster) -> None:
    votes = f"/api/v1/namespaces/{release.namespace}/services/{release.name}:http/proxy/votes/proxied"
    api = Api(cluster.kubeconfig)
    assert api.create(votes, {}) == {"choice": "proxied", "votes": 1}
    assert api.get(votes) == {"choice": "proxied", "votes": 1}
