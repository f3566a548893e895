"""What the status of pods says."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_crosscloud.deploy import pods
from pytest_crosscloud.model import ErrorClass

#: As kubelet 1.36 with containerd reports an image that the registry does not have.
NOT_FOUND = (
    'Back-off pulling image "198.18.0.1:5000/x@sha256:00": ErrImagePull: rpc error: code = NotFound desc = failed to '
    'pull and unpack image "198.18.0.1:5000/x@sha256:00": failed to resolve: 198.18.0.1:5000/x@sha256:00: not found'
)


def pod(name: str = "p", phase: str = "Pending", **state: Any) -> dict[str, Any]:
    """A pod with one container ``c`` in ``state``; without a state kubelet has not seen it yet."""
    status: dict[str, Any] = {"phase": phase}
    if state:
        waiting = {key: value for key, value in state.items() if key in {"reason", "message"}}
        status["containerStatuses"] = [
            {
                "name": "c",
                "image": "198.18.0.1:5000/x@sha256:00",
                "restartCount": state.get("restarts", 0),
                "state": {"waiting": waiting} if waiting else {"running": {}},
                "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}},
            }
        ]
    return {"metadata": {"name": name, "uid": name}, "status": status}


def ready(name: str = "r") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": name},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


@pytest.mark.parametrize(
    ("state", "error_class"),
    [
        ({"reason": "ImagePullBackOff", "message": NOT_FOUND}, ErrorClass.INFRASTRUCTURE),
        ({"reason": "ErrImagePull", "message": "pull access denied"}, ErrorClass.INFRASTRUCTURE),
        ({"reason": "InvalidImageName", "message": "could not parse"}, ErrorClass.CONFIGURATION),
        ({"reason": "CrashLoopBackOff", "message": "back-off", "restarts": 3}, ErrorClass.PRODUCT),
    ],
)
def test_a_pod_that_cannot_recover_is_hopeless_at_once(state: dict[str, Any], error_class: ErrorClass) -> None:
    trouble = pods.Patience().hopeless([ready(), pod(**state)], now=0)

    assert trouble is not None
    assert trouble.error_class == error_class


@pytest.mark.parametrize(
    "state",
    [
        {"reason": "ContainerCreating"},
        {"reason": "ErrImagePull", "message": "dial tcp: i/o timeout"},
        {"reason": "CrashLoopBackOff", "restarts": 2},
        {"reason": "CreateContainerConfigError", "message": 'configmap "x" not found'},
    ],
)
def test_a_pod_that_may_recover_is_not(state: dict[str, Any]) -> None:
    assert pods.Patience().hopeless([pod(**state)], now=0) is None


def test_patience_lasts_while_kubelet_alternates_between_two_words_for_one_trouble() -> None:
    patience = pods.Patience()
    pulling = {"message": "dial tcp: i/o timeout"}
    assert patience.hopeless([pod(reason="ErrImagePull", **pulling)], now=0) is None
    assert patience.hopeless([pod(reason="ImagePullBackOff", **pulling)], now=15) is None

    trouble = patience.hopeless([pod(reason="ErrImagePull", **pulling)], now=31)

    assert trouble is not None
    assert "198.18.0.1:5000/x@sha256:00 cannot be pulled" in str(trouble)


def test_patience_begins_anew_after_a_recovery() -> None:
    patience = pods.Patience()
    trouble = pod(reason="CreateContainerConfigError", message='secret "x" not found')
    patience.hopeless([trouble], now=0)
    patience.hopeless([pod(running=True)], now=10)

    assert patience.hopeless([trouble], now=25) is None


def test_the_image_explains_more_than_the_pod_that_is_not_ready() -> None:
    unready = pod("a", phase="Running", running=True)
    found = pods.troubles([unready, pod("b", reason="ImagePullBackOff", message=NOT_FOUND)])

    assert [trouble.pod for trouble in found] == ["b", "a"]


def test_a_missing_image_is_named_with_the_cause_alone() -> None:
    (trouble,) = pods.troubles([pod(reason="ImagePullBackOff", message=NOT_FOUND)])

    assert str(trouble) == "image 198.18.0.1:5000/x@sha256:00 cannot be pulled: not found"


def test_no_room_on_any_node_is_infrastructure() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    unscheduled = {"metadata": {"name": "p"}, "status": {"phase": "Pending", "conditions": [condition]}}

    (trouble,) = pods.troubles([unscheduled])

    assert trouble.error_class == ErrorClass.INFRASTRUCTURE
    assert "0/1 nodes" in str(trouble)


def test_a_pod_that_goes_away_troubles_nobody() -> None:
    leaving = pod(reason="ImagePullBackOff", message=NOT_FOUND)
    leaving["metadata"]["deletionTimestamp"] = "2026-11-22T00:00:00Z"

    assert pods.troubles([leaving]) == []


def test_progress_counts_and_names_the_first_that_is_late() -> None:
    assert pods.progress([]) == "waiting for the first pod"
    assert pods.progress([ready()]) == "1 of 1 pods ready"
    assert (
        pods.progress([ready(), pod("late", reason="ContainerCreating")])
        == "1 of 2 pods ready, late: ContainerCreating"
    )
