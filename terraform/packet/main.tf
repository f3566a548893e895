# A cluster of bare-metal machines of Equinix Metal, which was Packet, on a private VLAN of their own.

terraform {
  required_version = ">= 1.6"
  required_providers {
    equinix = {
      source = "equinix/equinix"
      # 5.0 has no Metal any more.
      version = "~> 4.12.0"
    }
  }
}

# The token is the environment's.
provider "equinix" {}

locals {
  machines = { for node in local.nodes : node.name => node }
  plan     = var.size != "" ? var.size : var.arch == "arm64" ? "c3.large.arm64" : "c3.small.x86"
  tags     = [for key, value in var.tags : "${key}=${value}"]
  endpoint = cidrhost(equinix_metal_reserved_ip_block.endpoint.cidr_notation, 0)

  # The controller manager takes its token, which is none of the nodes' business, from a Secret.
  cloud_conf = jsonencode({
    projectID    = var.project_id
    metro        = var.metro
    loadbalancer = "empty://"
  })
}

resource "equinix_metal_reserved_ip_block" "endpoint" {
  project_id  = var.project_id
  metro       = var.metro
  type        = "public_ipv4"
  quantity    = 1
  description = "${var.name}-endpoint"
  tags        = local.tags
}

resource "equinix_metal_vlan" "nodes" {
  project_id = var.project_id
  metro      = var.metro
  vxlan      = local.vlan
  # It takes no tags.
  description = join(" ", concat([var.name], local.tags))
}

resource "equinix_metal_device" "node" {
  for_each         = local.machines
  hostname         = "${var.name}-${each.key}"
  project_id       = var.project_id
  metro            = var.metro
  plan             = local.plan
  operating_system = "ubuntu_24_04"
  billing_cycle    = "hourly"
  user_data        = module.kubeadm.user_data[each.key]
  # Whatever becomes of Terraform's state, the service ends it.
  termination_time = timeadd("1970-01-01T00:00:00Z", "${var.tags["crosscloud-expires"]}s")
  tags             = local.tags

  lifecycle {
    # The service writes it in another form.
    ignore_changes = [termination_time]
  }
}

# Hybrid bonded: the public side stays as it is, the VLAN comes tagged beside it.
resource "equinix_metal_port" "bond" {
  for_each        = local.machines
  port_id         = one([for port in equinix_metal_device.node[each.key].ports : port.id if port.name == "bond0"])
  bonded          = true
  layer2          = false
  vlan_ids        = [equinix_metal_vlan.nodes.id]
  reset_on_delete = true
}

resource "equinix_metal_ip_attachment" "endpoint" {
  device_id     = equinix_metal_device.node["control-plane"].id
  cidr_notation = "${local.endpoint}/32"
}
