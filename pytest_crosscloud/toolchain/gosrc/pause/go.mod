module crosscloud/pause

go 1.24
