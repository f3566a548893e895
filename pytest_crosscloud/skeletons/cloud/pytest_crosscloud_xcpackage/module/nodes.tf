# Which nodes there are, and what they boot. No resources here: what it needs of them is local.endpoint and
# local.cloud_conf, so that the user-data can be rendered, and booted, without the cloud.

locals {
  nodes = [for index in range(1 + var.workers) : {
    name    = index == 0 ? "control-plane" : "worker-${index}"
    address = cidrhost(var.network_cidr, 10 + index)
    role    = index == 0 ? "control-plane" : "worker"
  }]
}

module "kubeadm" {
  source             = "../modules/kubeadm"
  name               = var.name
  kubernetes_version = var.kubernetes_version
  endpoint           = local.endpoint
  nodes              = local.nodes
  bundle             = var.bundle
  bootstrap          = var.bootstrap
  pod_cidr           = var.pod_cidr
  service_cidr       = var.service_cidr
  registries         = var.registries
  cloud_conf         = local.cloud_conf
  # before           = ["…"] are commands of every node, before anything else: what it takes to have its address
}
