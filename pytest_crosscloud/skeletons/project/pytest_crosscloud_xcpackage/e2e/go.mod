module pytest-crosscloud-xcname/e2e

go 1.25.0
