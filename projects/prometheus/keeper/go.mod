module pytest-crosscloud/projects/prometheus/keeper

go 1.25.0
