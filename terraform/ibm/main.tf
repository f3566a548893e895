# A cluster of the IBM Cloud Kubernetes Service on VPC, in a VPC of its own. IBM runs its control plane.

terraform {
  required_version = ">= 1.6"
  required_providers {
    ibm = {
      source  = "IBM-Cloud/ibm"
      version = "~> 1.87.1"
    }
  }
}

# The key is the environment's.
provider "ibm" {
  region = local.region
}

data "ibm_resource_group" "this" {
  name       = var.resource_group == "" ? null : var.resource_group
  is_default = var.resource_group == "" ? true : null
}

locals {
  region = join("-", slice(split("-", var.zone), 0, 2))
  # IBM's control plane takes no pods.
  workers = max(1, var.workers)
  # v1.36.3 → 1.36: IBM builds patches of its own.
  minor = join(".", slice(split(".", trimprefix(var.kubernetes_version, "v")), 0, 2))
  tags  = [for key, value in var.tags : "${key}:${value}"]
  # The service takes 35 characters; what a longer name lacks is in the tags.
  cluster = length(var.name) <= 35 ? var.name : "${substr(var.name, 0, 26)}-${substr(sha256(var.name), 0, 8)}"
}

resource "ibm_is_vpc" "this" {
  name           = var.name
  resource_group = data.ibm_resource_group.this.id
  # IBM's own ranges depend on the region, and Tokyo's lie within pod_cidr.
  address_prefix_management = "manual"
  tags                      = local.tags
}

resource "ibm_is_vpc_address_prefix" "nodes" {
  name = "${var.name}-nodes"
  vpc  = ibm_is_vpc.this.id
  zone = var.zone
  cidr = var.network_cidr
}

# Workers have no public addresses: they pull images by this one.
resource "ibm_is_public_gateway" "this" {
  name           = "${var.name}-outside"
  vpc            = ibm_is_vpc.this.id
  zone           = var.zone
  resource_group = data.ibm_resource_group.this.id
  tags           = local.tags
}

resource "ibm_is_subnet" "nodes" {
  name            = "${var.name}-nodes"
  vpc             = ibm_is_vpc.this.id
  zone            = var.zone
  ipv4_cidr_block = ibm_is_vpc_address_prefix.nodes.cidr
  public_gateway  = ibm_is_public_gateway.this.id
  resource_group  = data.ibm_resource_group.this.id
  tags            = local.tags
}

resource "ibm_container_vpc_cluster" "this" {
  name                 = local.cluster
  vpc_id               = ibm_is_vpc.this.id
  flavor               = var.size
  worker_count         = local.workers
  kube_version         = local.minor
  pod_subnet           = var.pod_cidr
  service_subnet       = var.service_cidr
  resource_group_id    = data.ibm_resource_group.this.id
  tags                 = local.tags
  force_delete_storage = true
  # All workers, whose addresses are asked for below. Ingress, which is the default, takes twenty minutes more.
  wait_till = "Normal"
  # Images come from anywhere; the default lets workers reach IBM's own services alone.
  disable_outbound_traffic_protection = true

  zones {
    name      = var.zone
    subnet_id = ibm_is_subnet.nodes.id
  }
}

data "ibm_container_cluster_config" "admin" {
  cluster_name_id   = ibm_container_vpc_cluster.this.id
  resource_group_id = data.ibm_resource_group.this.id
  admin             = true
  config_dir        = path.root
}

data "ibm_container_vpc_cluster" "this" {
  name              = ibm_container_vpc_cluster.this.id
  resource_group_id = data.ibm_resource_group.this.id
}

data "ibm_container_vpc_cluster_worker" "node" {
  count             = local.workers
  cluster_name_id   = ibm_container_vpc_cluster.this.id
  resource_group_id = data.ibm_resource_group.this.id
  worker_id         = data.ibm_container_vpc_cluster.this.workers[count.index]
}
