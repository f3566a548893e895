module pytest-crosscloud/tests/standins/vitess

go 1.25.0
