# A cluster of virtual machines of xctitle, in a network of their own.

terraform {
  required_version = ">= 1.6"
  # TODO: the cloud's provider, with its version pinned.
  # required_providers {
  #   xcpackage = {
  #     source  = "vendor/xcpackage"
  #     version = "~> 1.0"
  #   }
  # }
}

locals {
  # TODO: the address or DNS name at which the API server is reached from outside, of a resource that is there before the
  # machines are: their certificates have it in them.
  endpoint   = local.nodes[0].address
  cloud_conf = ""
}

# TODO: a network of var.network_cidr, a firewall that lets var.allowed_cidrs reach port 6443 and the nodes each other, the
# address of local.endpoint. Names begin with var.name; everything carries var.tags.

# TODO: the machines, in place of this.
resource "terraform_data" "machine" {
  for_each = { for node in local.nodes : node.name => node }

  input = {
    name      = "${var.name}-${each.key}"
    address   = each.value.address # fixed: the user-data has the addresses of all nodes in it
    user_data = base64gzip(module.kubeadm.user_data[each.key])
    size      = var.size
    region    = var.region
    tags      = var.tags
  }
}
