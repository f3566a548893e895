module crosscloud/kubernetes/e2e

go 1.25.0
