module pytest-crosscloud/tests/standins/fluentd

go 1.25.0
