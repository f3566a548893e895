"""Kubernetes (https://kubernetes.io): clusters are made of its builds, and its conformance suite tests them."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.build.conformance import ConformanceBuild
from pytest_crosscloud.build.go import GoProgram
from pytest_crosscloud.build.kubernetes import KubernetesBuild
from pytest_crosscloud.model import E2E, Project

_HERE = Path(__file__).resolve().parent

#: Which specs run: ``quick`` (default), ``full``, or a regular expression of specs' names.
VARIABLE = "CROSSCLOUD_CONFORMANCE"

#: Conformance specs that want no other images than those that are made here, and no DNS in the cluster: one for each
#: thing that a cluster does for what runs on it.
QUICK = (
    # What pods are given.
    "ConfigMap should be consumable via environment variable",
    "ConfigMap binary data should be reflected in volume",
    r"Secrets should be consumable from pods in volume \[",
    "Projected combined should project all components",
    "Downward API should provide pod UID as env vars",
    r"EmptyDir volumes should support \(root,0644,default\)",
    "Variable Expansion should allow substituting values in a container's command",
    "ServiceAccounts should mount an API token into pods",
    # How they begin and end.
    "Pods should be submitted and removed",
    "Pods should support remote command execution over websockets",
    "InitContainer .* should invoke init containers on a RestartNever pod",
    "Container Lifecycle Hook .* should execute poststart exec hook properly",
    # How they reach each other.
    "Pods should contain environment variables for services",
    "EndpointSlice should support a Service with multiple ports",
    "EndpointSlice should support a Service with multiple endpoint IPs",
    "Proxy version v1 should proxy through a service and a pod",
    "Networking Granular Checks: Pods should function for intra-pod communication: http",
    # What the control plane does.
    "ReplicaSet should serve a basic image on each replica",
    "Job should run a job to completion when tasks sometimes fail and are locally restarted",
    "Watchers should observe add, update, and delete watch notifications",
    "ResourceQuota should create a ResourceQuota and capture the life of a pod",
    "Simple CustomResourceDefinition creating/deleting custom resource definition objects works",
    "Garbage collector should delete RS created by deployment when not orphaning",
    "AdmissionWebhook .* should mutate configmap",
)

_CONFORMANCE = r".*\[Conformance\]"

#: ``full`` is some 440 specs. Those that want images which nobody can make here, or a second node, fail.
_FOCUS = {"quick": f"({'|'.join(QUICK)}){_CONFORMANCE}", "full": _CONFORMANCE}

#: Specs that must run: one that upstream renames would else be left out, and nobody would know.
_LEAST = {"quick": len(QUICK)}

#: Seconds for the suite; many of its specs wait for half a minute and more.
_TIMEOUT = {"quick": 1200.0}
_LONG = 4 * 3600.0

#: Specs at a time: most of each is waiting.
_PROCESSES = 6


@hookimpl
def crosscloud_projects() -> list[Project]:
    asked = os.environ.get(VARIABLE) or "quick"
    suite = ConformanceBuild(runner=GoProgram(directory=_HERE / "e2e", image="kubernetes/e2e"))
    return [
        Project(
            name="kubernetes",
            display_name="Kubernetes",
            sub_title="Orchestration",
            order=10,
            project_url="https://kubernetes.io",
            repository_url="https://github.com/kubernetes/kubernetes",
            cncf_relation="Graduated",
            build=KubernetesBuild(),
            chart="kubernetes",
            is_kubernetes=True,
            chosen_by=(VARIABLE,),
            e2e=E2E(
                build=suite,
                env={
                    "CONFORMANCE_FOCUS": _FOCUS.get(asked, asked),
                    "CONFORMANCE_IMAGES": suite.folder,
                    "CONFORMANCE_LEAST": str(_LEAST.get(asked, 1)),
                    "CONFORMANCE_PROCESSES": str(_PROCESSES),
                },
                service_account="conformance",
                timeout=_TIMEOUT.get(asked, _LONG),
            ),
        )
    ]
