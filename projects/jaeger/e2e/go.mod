module pytest-crosscloud/projects/jaeger/e2e

go 1.25.0
