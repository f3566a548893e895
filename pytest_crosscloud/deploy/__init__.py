"""deploy"""

#: Labels of what a run makes in a cluster: whose it is, and that it may be removed.
RUN_LABEL = "crosscloud-run"
PROJECT_LABEL = "crosscloud-project"
