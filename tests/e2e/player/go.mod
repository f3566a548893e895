module crosscloud.invalid/player

go 1.21
