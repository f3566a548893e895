# A cluster of virtual machines on Google Compute Engine, in a network of its own.

terraform {
  required_version = ">= 1.6"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50.0"
    }
  }
}

# Credentials and project are the environment's.
provider "google" {
  region         = local.region
  zone           = var.zone
  default_labels = var.tags
}

data "google_client_config" "this" {}

locals {
  machines = { for node in local.nodes : node.name => node }
  region   = join("-", slice(split("-", var.zone), 0, 2))
  size     = var.size != "" ? var.size : var.arch == "arm64" ? "c4a-standard-2" : "e2-standard-2"
  # The newest families boot from Hyperdisk alone, and the older ones from persistent disks alone.
  disk_type = can(regex("^(c4|n4|x4|z4)", local.size)) ? "hyperdisk-balanced" : "pd-balanced"
  endpoint  = google_compute_address.endpoint.address

  cloud_conf = join("\n", [
    "[Global]",
    "project-id = ${data.google_client_config.this.project}",
    "network-name = ${var.name}",
    "subnetwork-name = ${var.name}",
    "node-tags = ${var.name}",
    "node-instance-prefix = ${var.name}",
    "local-zone = ${var.zone}",
    "multizone = false",
    "",
  ])
}

resource "google_compute_network" "this" {
  name                    = var.name
  description             = "crosscloud-run=${var.tags["crosscloud-run"]} crosscloud-expires=${var.tags["crosscloud-expires"]}"
  auto_create_subnetworks = false
  # As the pods' interfaces have it.
  mtu = 1500
}

resource "google_compute_subnetwork" "this" {
  name          = var.name
  region        = local.region
  network       = google_compute_network.this.id
  ip_cidr_range = var.network_cidr
}

resource "google_compute_firewall" "inside" {
  name          = "${var.name}-inside"
  network       = google_compute_network.this.id
  source_ranges = [var.network_cidr, var.pod_cidr]
  target_tags   = [var.name]

  allow {
    protocol = "all"
  }
}

resource "google_compute_firewall" "api" {
  name          = "${var.name}-api"
  network       = google_compute_network.this.id
  source_ranges = var.allowed_cidrs
  target_tags   = ["${var.name}-api"]

  allow {
    protocol = "tcp"
    ports    = ["6443"]
  }
}

# Machines have addresses of a single host: what they send goes to the network's router, which must know where pods are.
resource "google_compute_route" "pods" {
  for_each    = local.machines
  name        = "${var.name}-${each.key}"
  network     = google_compute_network.this.id
  dest_range  = module.kubeadm.pod_cidrs[each.key]
  next_hop_ip = each.value.address
  priority    = 1000
  # The next hop must be an address of one of the network's ranges.
  depends_on = [google_compute_subnetwork.this]
}

resource "google_compute_address" "endpoint" {
  name   = "${var.name}-endpoint"
  region = local.region
  labels = var.tags
}

resource "google_compute_instance" "node" {
  for_each       = local.machines
  name           = "${var.name}-${each.key}"
  machine_type   = local.size
  zone           = var.zone
  can_ip_forward = true
  tags           = each.value.role == "control-plane" ? [var.name, "${var.name}-api"] : [var.name]
  labels         = var.tags

  boot_disk {
    initialize_params {
      image  = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-${var.arch}"
      size   = var.disk_gb
      type   = local.disk_type
      labels = var.tags
    }
  }

  network_interface {
    subnetwork = google_compute_subnetwork.this.id
    network_ip = each.value.address

    # Ephemeral, but for the control plane: without one they would have no way out.
    access_config {
      nat_ip = each.value.role == "control-plane" ? google_compute_address.endpoint.address : null
    }
  }

  metadata = {
    # Metadata is text: cloud-init decodes it, and unpacks what is gzipped.
    user-data              = base64gzip(module.kubeadm.user_data[each.key])
    user-data-encoding     = "base64"
    block-project-ssh-keys = "true"
  }

  dynamic "service_account" {
    for_each = var.service_account == "" ? [] : [var.service_account]
    content {
      email  = service_account.value
      scopes = ["cloud-platform"]
    }
  }

  # It talks to the other nodes at once.
  depends_on = [google_compute_firewall.inside, google_compute_route.pods]
}
