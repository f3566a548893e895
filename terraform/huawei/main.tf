# Elastic Cloud Servers in a VPC of their own, each with an elastic IP; that of the control plane is the API server's.

terraform {
  required_version = ">= 1.6"
  required_providers {
    huaweicloud = {
      source  = "huaweicloud/huaweicloud"
      version = "~> 1.60.0"
    }
  }
}

# Credentials: HW_ACCESS_KEY, HW_SECRET_KEY and HW_REGION_NAME.
provider "huaweicloud" {
  region = var.region
}

locals {
  endpoint = huaweicloud_vpc_eip.node["control-plane"].address
  size     = var.size == "" ? (var.arch == "arm64" ? "kc1.large.2" : "c7.large.2") : var.size
  image = var.image == "" ? (
    var.arch == "arm64" ? "Ubuntu 22.04 server 64bit with ARM" : "Ubuntu 22.04 server 64bit"
  ) : var.image
  zone     = var.availability_zone == "" ? data.huaweicloud_availability_zones.here.names[0] : var.availability_zone
  machines = { for node in local.nodes : node.name => node }
  # Huawei's values have at most 43.
  tags = { for key, value in var.tags : key => substr(value, 0, 43) }
  cloud_conf = templatefile("${path.module}/cloud.conf.tftpl", {
    region            = huaweicloud_vpc.nodes.region
    controllers       = var.controllers
    vpc_id            = huaweicloud_vpc.nodes.id
    subnet_id         = huaweicloud_vpc_subnet.nodes.id
    security_group_id = huaweicloud_networking_secgroup.nodes.id
  })
}

data "huaweicloud_availability_zones" "here" {}

data "huaweicloud_images_image" "node" {
  name        = local.image
  visibility  = "public"
  most_recent = true
}

resource "huaweicloud_vpc" "nodes" {
  name = var.name
  cidr = var.network_cidr
  tags = local.tags
}

resource "huaweicloud_vpc_subnet" "nodes" {
  name       = var.name
  vpc_id     = huaweicloud_vpc.nodes.id
  cidr       = var.network_cidr
  gateway_ip = cidrhost(var.network_cidr, 1)
  tags       = local.tags
}

resource "huaweicloud_networking_secgroup" "nodes" {
  name                 = var.name
  description          = join(" ", [for key, value in var.tags : "${key}=${value}"]) # not every version has tags for it
  delete_default_rules = true
}

resource "huaweicloud_networking_secgroup_rule" "out" {
  security_group_id = huaweicloud_networking_secgroup.nodes.id
  direction         = "egress"
  ethertype         = "IPv4"
  remote_ip_prefix  = "0.0.0.0/0"
}

resource "huaweicloud_networking_secgroup_rule" "api" {
  for_each          = toset(var.allowed_cidrs)
  security_group_id = huaweicloud_networking_secgroup.nodes.id
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  ports             = "6443"
  remote_ip_prefix  = each.value
}

# Nodes and pods reach each other at all ports.
resource "huaweicloud_networking_secgroup_rule" "inside" {
  for_each          = toset([var.network_cidr, var.pod_cidr])
  security_group_id = huaweicloud_networking_secgroup.nodes.id
  direction         = "ingress"
  ethertype         = "IPv4"
  remote_ip_prefix  = each.value
}

# One for each node: the control plane's is the API server's, and all of them are the way out.
resource "huaweicloud_vpc_eip" "node" {
  for_each = local.machines
  name     = "${var.name}-${each.key}"
  tags     = local.tags

  publicip {
    type = "5_bgp"
  }

  bandwidth {
    name        = "${var.name}-${each.key}"
    share_type  = "PER"
    size        = var.bandwidth
    charge_mode = "traffic"
  }
}

resource "huaweicloud_compute_instance" "node" {
  for_each                    = local.machines
  name                        = "${var.name}-${each.key}"
  image_id                    = data.huaweicloud_images_image.node.id
  flavor_id                   = local.size
  availability_zone           = local.zone
  security_group_ids          = [huaweicloud_networking_secgroup.nodes.id]
  system_disk_type            = "GPSSD"
  system_disk_size            = var.disk_gib
  delete_disks_on_termination = true
  # From its creation on: a node fetches packages as soon as it boots.
  eip_id                    = huaweicloud_vpc_eip.node[each.key].id
  delete_eip_on_termination = false # Terraform does
  # The provider passes on what is base64 already; Huawei takes 32 KiB of it, cloud-init takes it gzipped.
  user_data  = base64gzip(module.kubeadm.user_data[each.key])
  tags       = local.tags
  depends_on = [huaweicloud_networking_secgroup_rule.out, huaweicloud_networking_secgroup_rule.inside]

  network {
    uuid              = huaweicloud_vpc_subnet.nodes.id
    fixed_ip_v4       = each.value.address
    source_dest_check = false # pods' packets have addresses of their own
  }
}

# A packet goes where the VPC's table says, whatever the node's own does.
resource "huaweicloud_vpc_route" "pods" {
  for_each    = module.kubeadm.pod_cidrs
  vpc_id      = huaweicloud_vpc.nodes.id
  destination = each.value
  type        = "ecs"
  nexthop     = huaweicloud_compute_instance.node[each.key].id
}
