module crosscloud/nc

go 1.24
