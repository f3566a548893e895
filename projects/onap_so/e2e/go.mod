module pytest-crosscloud/projects/onap-so/e2e

go 1.25.0
