module pytest-crosscloud/projects/envoy/backend

go 1.25.0
