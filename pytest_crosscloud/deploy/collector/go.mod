module crosscloud.invalid/collector

go 1.21
