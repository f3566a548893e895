# ECS instances in a VPC of their own; the API server, and the way out, at the elastic IP of a NAT gateway.

terraform {
  required_version = ">= 1.6"
  required_providers {
    alicloud = {
      source  = "aliyun/alicloud"
      version = "~> 1.240.0"
    }
  }
}

# Credentials: ALICLOUD_ACCESS_KEY, ALICLOUD_SECRET_KEY and ALICLOUD_REGION.
provider "alicloud" {
  region = var.region
}

locals {
  endpoint = alicloud_eip_address.api.ip_address
  size     = var.size == "" ? (var.arch == "arm64" ? "ecs.g8y.large" : "ecs.g7.large") : var.size
  image    = var.image == "" ? data.alicloud_images.ubuntu[0].images[0].id : var.image
  zone     = var.zone == "" ? data.alicloud_zones.here[0].zones[0].id : var.zone
  # When nobody needs the cluster any more, Alibaba releases the instances itself.
  expires = try(formatdate("YYYY-MM-DD'T'hh:mm:ss'Z'", timeadd("1970-01-01T00:00:00Z", "${var.tags["crosscloud-expires"]}s")), null)
  cloud_conf = templatefile("${path.module}/cloud.conf.tftpl", {
    region      = data.alicloud_regions.here.regions[0].id
    controllers = var.controllers
    vpc_id      = alicloud_vpc.nodes.id
    vswitch_id  = alicloud_vswitch.nodes.id
    zone        = local.zone
  })
}

data "alicloud_regions" "here" {
  current = true
}

data "alicloud_zones" "here" {
  count                       = var.zone == "" ? 1 : 0
  available_instance_type     = local.size
  available_resource_creation = "VSwitch"

  lifecycle {
    postcondition {
      condition     = length(self.zones) > 0
      error_message = "No zone of this region has ${local.size}: set the variable size or region."
    }
  }
}

data "alicloud_images" "ubuntu" {
  count       = var.image == "" ? 1 : 0
  owners      = "system"
  name_regex  = var.arch == "arm64" ? "^ubuntu_24_04_arm64_20G_" : "^ubuntu_24_04_x64_20G_"
  most_recent = true

  lifecycle {
    postcondition {
      condition     = length(self.images) > 0
      error_message = "This region has no image of Ubuntu 24.04 for ${var.arch}: set the variable image."
    }
  }
}

resource "alicloud_vpc" "nodes" {
  vpc_name   = var.name
  cidr_block = var.network_cidr
  tags       = var.tags
}

# The lower half is the nodes'. The gateway takes an address of its own choice, which must not be one of theirs.
resource "alicloud_vswitch" "nodes" {
  vswitch_name = "${var.name}-nodes"
  vpc_id       = alicloud_vpc.nodes.id
  cidr_block   = cidrsubnet(var.network_cidr, 1, 0)
  zone_id      = local.zone
  tags         = var.tags
}

resource "alicloud_vswitch" "gateway" {
  vswitch_name = "${var.name}-gateway"
  vpc_id       = alicloud_vpc.nodes.id
  cidr_block   = cidrsubnet(var.network_cidr, 1, 1)
  zone_id      = local.zone
  tags         = var.tags
}

resource "alicloud_security_group" "nodes" {
  security_group_name = var.name
  description         = "Nodes of ${var.name}"
  vpc_id              = alicloud_vpc.nodes.id
  tags                = var.tags
}

# The gateway hands on who asks.
resource "alicloud_security_group_rule" "api" {
  for_each          = toset(var.allowed_cidrs)
  security_group_id = alicloud_security_group.nodes.id
  type              = "ingress"
  ip_protocol       = "tcp"
  port_range        = "6443/6443"
  policy            = "accept"
  priority          = 1
  cidr_ip           = each.value
}

# Nodes and pods reach each other at all ports.
resource "alicloud_security_group_rule" "inside" {
  for_each          = toset([var.network_cidr, var.pod_cidr])
  security_group_id = alicloud_security_group.nodes.id
  type              = "ingress"
  ip_protocol       = "all"
  port_range        = "-1/-1"
  policy            = "accept"
  priority          = 1
  cidr_ip           = each.value
}

resource "alicloud_eip_address" "api" {
  address_name         = var.name
  bandwidth            = var.bandwidth
  internet_charge_type = "PayByTraffic"
  payment_type         = "PayAsYouGo"
  tags                 = var.tags
}

# An elastic IP can be put on an instance only when that runs, and fetches packages; a gateway is there before.
resource "alicloud_nat_gateway" "nodes" {
  nat_gateway_name = var.name
  nat_type         = "Enhanced"
  payment_type     = "PayAsYouGo"
  vpc_id           = alicloud_vpc.nodes.id
  vswitch_id       = alicloud_vswitch.gateway.id
  tags             = var.tags
}

resource "alicloud_eip_association" "api" {
  allocation_id = alicloud_eip_address.api.id
  instance_id   = alicloud_nat_gateway.nodes.id
  instance_type = "Nat"
}

resource "alicloud_snat_entry" "nodes" {
  snat_entry_name   = var.name
  snat_table_id     = alicloud_nat_gateway.nodes.snat_table_ids
  source_vswitch_id = alicloud_vswitch.nodes.id
  snat_ip           = alicloud_eip_address.api.ip_address
  depends_on        = [alicloud_eip_association.api]
}

resource "alicloud_forward_entry" "api" {
  forward_entry_name = var.name
  forward_table_id   = alicloud_nat_gateway.nodes.forward_table_ids
  external_ip        = alicloud_eip_address.api.ip_address
  external_port      = "6443"
  ip_protocol        = "tcp"
  internal_ip        = alicloud_instance.node["control-plane"].private_ip
  internal_port      = "6443"
  port_break         = true # the way out shares the address
  depends_on         = [alicloud_eip_association.api]
}

resource "alicloud_instance" "node" {
  for_each             = { for node in local.nodes : node.name => node }
  instance_name        = "${var.name}-${each.key}"
  host_name            = each.key
  image_id             = local.image
  instance_type        = local.size
  security_groups      = [alicloud_security_group.nodes.id]
  vswitch_id           = alicloud_vswitch.nodes.id
  private_ip           = each.value.address
  system_disk_category = "cloud_essd"
  system_disk_size     = var.disk_gib
  role_name            = var.role_name
  auto_release_time    = local.expires
  # 32 KiB of it; cloud-init takes it gzipped.
  user_data   = base64gzip(module.kubeadm.user_data[each.key])
  tags        = var.tags
  volume_tags = var.tags
  # A node fetches packages as soon as it boots.
  depends_on = [alicloud_snat_entry.nodes, alicloud_security_group_rule.inside]
}

# A packet goes where the VPC's table says, whatever the node's own does.
resource "alicloud_route_entry" "pods" {
  for_each              = module.kubeadm.pod_cidrs
  route_table_id        = alicloud_vpc.nodes.route_table_id
  destination_cidrblock = each.value
  nexthop_type          = "Instance"
  nexthop_id            = alicloud_instance.node[each.key].id
}
