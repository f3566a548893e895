module pytest-crosscloud/projects/fluentd/e2e

go 1.25.0
