# A cluster of Google Kubernetes Engine, in a network of its own. Google runs its control plane.

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
  region = join("-", slice(split("-", var.zone), 0, 2))
  size   = var.size != "" ? var.size : var.arch == "arm64" ? "c4a-standard-2" : "e2-standard-2"
  # The newest families boot from Hyperdisk alone, and the older ones from persistent disks alone.
  disk_type = can(regex("^(c4|n4|x4|z4)", local.size)) ? "hyperdisk-balanced" : "pd-balanced"
  # Google's control plane takes no pods.
  workers = max(1, var.workers)
  # v1.36.3 → 1.36: Google builds patches of its own.
  minor = join(".", slice(split(".", trimprefix(var.kubernetes_version, "v")), 0, 2))

  user = {
    token = { token = data.google_client_config.this.access_token }
    plugin = { exec = {
      apiVersion         = "client.authentication.k8s.io/v1beta1"
      command            = "gke-gcloud-auth-plugin"
      installHint        = "install gke-gcloud-auth-plugin of the Google Cloud CLI"
      interactiveMode    = "Never"
      provideClusterInfo = true
    } }
  }
}

resource "google_compute_network" "this" {
  name                    = var.name
  description             = "crosscloud-run=${var.tags["crosscloud-run"]} crosscloud-expires=${var.tags["crosscloud-expires"]}"
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  name          = var.name
  region        = local.region
  network       = google_compute_network.this.id
  ip_cidr_range = var.network_cidr
}

resource "google_container_cluster" "this" {
  # GKE takes 40 characters; what a longer name lacks is in the labels.
  name                = length(var.name) <= 40 ? var.name : "${substr(var.name, 0, 31)}-${substr(sha256(var.name), 0, 8)}"
  location            = var.zone
  network             = google_compute_network.this.id
  subnetwork          = google_compute_subnetwork.this.id
  networking_mode     = "VPC_NATIVE"
  min_master_version  = local.minor
  initial_node_count  = local.workers
  deletion_protection = false
  resource_labels     = var.tags
  # What fails is kept by whoever runs the tests; a test's cluster needs no agents.
  logging_service    = "none"
  monitoring_service = "none"

  release_channel {
    channel = var.release_channel
  }

  ip_allocation_policy {
    cluster_ipv4_cidr_block  = var.pod_cidr
    services_ipv4_cidr_block = var.service_cidr
  }

  master_authorized_networks_config {
    dynamic "cidr_blocks" {
      for_each = var.allowed_cidrs
      content {
        cidr_block = cidr_blocks.value
      }
    }
  }

  node_config {
    machine_type    = local.size
    disk_size_gb    = var.disk_gb
    disk_type       = local.disk_type
    resource_labels = var.tags
    service_account = var.service_account == "" ? null : var.service_account
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
  }
}

data "google_compute_instance_group" "nodes" {
  self_link = google_container_cluster.this.node_pool[0].managed_instance_group_urls[0]
}

data "google_compute_instance" "node" {
  count     = local.workers
  self_link = tolist(data.google_compute_instance_group.nodes.instances)[count.index]
}
