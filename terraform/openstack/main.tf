# Nova servers in a network of their own, behind a router; the API server at a floating IP.

terraform {
  required_version = ">= 1.6"
  required_providers {
    openstack = {
      source  = "terraform-provider-openstack/openstack"
      version = "~> 3.0.0"
    }
  }
}

# Credentials: OS_AUTH_URL, OS_APPLICATION_CREDENTIAL_ID and OS_APPLICATION_CREDENTIAL_SECRET, which a run insists on.
provider "openstack" {
  region = var.region
}

locals {
  endpoint = openstack_networking_floatingip_v2.api.address
  # Neutron's tags are words, Nova's metadata are pairs.
  tags  = [for key, value in var.tags : "${key}=${value}"]
  image = var.image != "" || var.arch != "amd64" ? var.image : "Debian 12"
  size  = var.size != "" || var.arch != "amd64" ? var.size : "m1.medium"
  cloud_conf = templatefile("${path.module}/cloud.conf.tftpl", {
    region              = coalesce(var.region, openstack_networking_network_v2.nodes.region)
    controllers         = var.controllers
    network_name        = var.name
    subnet_id           = openstack_networking_subnet_v2.nodes.id
    external_network    = data.openstack_networking_network_v2.external.name
    external_network_id = data.openstack_networking_network_v2.external.id
  })
}

data "openstack_networking_network_v2" "external" {
  name     = var.external_network == "" ? null : var.external_network
  external = true
}

data "openstack_images_image_v2" "node" {
  name        = local.image
  most_recent = true

  lifecycle {
    precondition {
      condition     = local.image != "" && local.size != ""
      error_message = "OpenStacks have no common names for images and flavors of ${var.arch}: set the variables image and size."
    }
  }
}

resource "openstack_networking_network_v2" "nodes" {
  name           = var.name
  admin_state_up = true
  tags           = local.tags
}

resource "openstack_networking_subnet_v2" "nodes" {
  name            = var.name
  network_id      = openstack_networking_network_v2.nodes.id
  cidr            = var.network_cidr
  ip_version      = 4
  dns_nameservers = var.dns
  tags            = local.tags
}

resource "openstack_networking_router_v2" "nodes" {
  name                = var.name
  admin_state_up      = true
  external_network_id = data.openstack_networking_network_v2.external.id
  tags                = local.tags
}

resource "openstack_networking_router_interface_v2" "nodes" {
  router_id = openstack_networking_router_v2.nodes.id
  subnet_id = openstack_networking_subnet_v2.nodes.id
}

# A new group lets everything out and nothing in.
resource "openstack_networking_secgroup_v2" "nodes" {
  name        = var.name
  description = "Nodes of ${var.name}"
  tags        = local.tags
}

resource "openstack_networking_secgroup_rule_v2" "api" {
  for_each          = toset(var.allowed_cidrs)
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = 6443
  port_range_max    = 6443
  remote_ip_prefix  = each.value
  security_group_id = openstack_networking_secgroup_v2.nodes.id
}

# Nodes and pods reach each other at all ports.
resource "openstack_networking_secgroup_rule_v2" "inside" {
  for_each          = toset([var.network_cidr, var.pod_cidr])
  direction         = "ingress"
  ethertype         = "IPv4"
  remote_ip_prefix  = each.value
  security_group_id = openstack_networking_secgroup_v2.nodes.id
}

# A port is its node's network card, with its address, before there is a node.
resource "openstack_networking_port_v2" "node" {
  for_each           = { for node in local.nodes : node.name => node }
  name               = "${var.name}-${each.key}"
  network_id         = openstack_networking_network_v2.nodes.id
  admin_state_up     = true
  security_group_ids = [openstack_networking_secgroup_v2.nodes.id]
  tags               = local.tags

  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.nodes.id
    ip_address = each.value.address
  }

  # Else Neutron drops what pods send to another node.
  allowed_address_pairs {
    ip_address = module.kubeadm.pod_cidrs[each.key]
  }
}

resource "openstack_networking_floatingip_v2" "api" {
  pool        = data.openstack_networking_network_v2.external.name
  description = "API server of ${var.name}"
  tags        = local.tags
}

resource "openstack_networking_floatingip_associate_v2" "api" {
  floating_ip = openstack_networking_floatingip_v2.api.address
  port_id     = openstack_networking_port_v2.node["control-plane"].id
  # Without it the network is not reachable from the external one.
  depends_on = [openstack_networking_router_interface_v2.nodes]
}

resource "openstack_compute_instance_v2" "node" {
  for_each          = { for node in local.nodes : node.name => node }
  name              = "${var.name}-${each.key}"
  image_id          = var.disk_gib == 0 ? data.openstack_images_image_v2.node.id : null
  flavor_name       = local.size
  availability_zone = var.availability_zone
  metadata          = var.tags
  # The provider passes on what is base64 already; Nova takes 64 KiB of it, cloud-init takes it gzipped.
  user_data = base64gzip(module.kubeadm.user_data[each.key])

  network {
    port = openstack_networking_port_v2.node[each.key].id
  }

  dynamic "block_device" {
    for_each = var.disk_gib == 0 ? [] : [var.disk_gib]
    content {
      uuid                  = data.openstack_images_image_v2.node.id
      source_type           = "image"
      destination_type      = "volume"
      volume_size           = block_device.value
      boot_index            = 0
      delete_on_termination = true
    }
  }

  # A node fetches packages as soon as it boots.
  depends_on = [
    openstack_networking_floatingip_associate_v2.api,
    openstack_networking_router_interface_v2.nodes,
    openstack_networking_secgroup_rule_v2.inside,
  ]
}
