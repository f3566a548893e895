"""deploy"""

#: Labels of what a run makes in a cluster: whose it is, and that it may be removed.
RUN_LABEL = "crosscloud-run"
PROJECT_LABEL = "crosscloud-project"

#: Label of an e2e container's pod, with the name of its release: a chart's Service can select it, to be called back.
E2E_LABEL = "crosscloud-e2e"
