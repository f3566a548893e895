module pytest-crosscloud/projects/envoy/e2e

go 1.25.0
