module crosscloud.invalid/prober

go 1.21
