module pytest-crosscloud/tests/standins/linkerd

go 1.25.0
