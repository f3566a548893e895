module pytest-crosscloud/tests/standins/onap-so

go 1.25.0
