# A cluster of virtual machines of Hetzner Cloud, in a network of their own.

terraform {
  required_version = ">= 1.6"
  required_providers {
    hcloud = {
      source = "hetznercloud/hcloud"
      # 1.58 is the first in which primary IPs have a location: data centers are gone from the API.
      version = "~> 1.58"
    }
  }
}

# The token is the environment's, HCLOUD_TOKEN.
provider "hcloud" {}

locals {
  machines   = { for node in local.nodes : node.name => node }
  size       = var.size != "" ? var.size : var.arch == "arm64" ? "cax11" : "cx23"
  zone       = lookup({ ash = "us-east", hil = "us-west", sin = "ap-southeast" }, var.location, "eu-central")
  endpoint   = hcloud_primary_ip.endpoint.ip_address
  cloud_conf = "" # the cloud's controller manager takes token and network from a Secret
}

# It is there before its server, and the API server's certificate has it in it.
resource "hcloud_primary_ip" "endpoint" {
  name          = "${var.name}-endpoint"
  type          = "ipv4"
  location      = var.location
  assignee_type = "server"
  auto_delete   = false
  labels        = var.tags
}

# The network's own router stands between all machines; each has a route to the whole range, and so to the pods.
resource "hcloud_network" "this" {
  name     = var.name
  ip_range = var.network_range
  labels   = var.tags
}

resource "hcloud_network_subnet" "nodes" {
  network_id   = hcloud_network.this.id
  type         = "cloud"
  network_zone = local.zone
  ip_range     = var.network_cidr
}

resource "hcloud_network_route" "pods" {
  for_each    = local.machines
  network_id  = hcloud_network.this.id
  destination = module.kubeadm.pod_cidrs[each.key]
  gateway     = each.value.address
  depends_on  = [hcloud_network_subnet.nodes]
}

# Of what comes from outside; nothing of it reaches the network of the nodes.
resource "hcloud_firewall" "nodes" {
  name   = "${var.name}-nodes"
  labels = var.tags

  rule {
    description = "API server"
    direction   = "in"
    protocol    = "tcp"
    port        = "6443"
    source_ips  = var.allowed_cidrs
  }
}

resource "hcloud_server" "node" {
  for_each     = local.machines
  name         = "${var.name}-${each.key}"
  server_type  = local.size
  image        = "debian-12"
  location     = var.location
  user_data    = base64gzip(module.kubeadm.user_data[each.key]) # 32 KiB at most
  firewall_ids = [hcloud_firewall.nodes.id]
  labels       = var.tags

  public_net {
    ipv4_enabled = true # the way out; an address that is not named goes with its server
    ipv4         = each.value.role == "control-plane" ? hcloud_primary_ip.endpoint.id : null
    ipv6_enabled = false
  }

  network {
    subnet_id = hcloud_network_subnet.nodes.id
    ip        = each.value.address
    alias_ips = [] # else every apply would attach it anew
  }
}
