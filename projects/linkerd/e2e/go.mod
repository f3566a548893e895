module pytest-crosscloud/projects/linkerd/e2e

go 1.25.0
