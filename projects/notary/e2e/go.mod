module pytest-crosscloud/projects/notary/e2e

go 1.25.0
