module pytest-crosscloud/projects/prometheus/e2e

go 1.25.0
