# Clones of a template on a port group that is there, with fixed addresses; the API server at the control plane's.

terraform {
  required_version = ">= 1.6"
  required_providers {
    vsphere = {
      source  = "vmware/vsphere"
      version = "~> 2.15.0"
    }
  }
}

# Credentials: VSPHERE_SERVER, VSPHERE_USER, VSPHERE_PASSWORD, and VSPHERE_ALLOW_UNVERIFIED_SSL for a vCenter with a
# certificate of its own making.
provider "vsphere" {}

locals {
  # vSphere has no floating addresses, and there is one control plane.
  endpoint = local.nodes[0].address
  # Tags have a name each and no value; annotations are what vCenter shows and searches.
  tags       = { for key, value in var.tags : key => "${key}=${value}" }
  annotation = join("\n", values(local.tags))
  folder     = trimprefix("${var.folder}/${var.name}", "/")
  cloud_conf = var.controllers == null ? "" : templatefile("${path.module}/cloud.conf.tftpl", {
    controllers = var.controllers
    datacenter  = data.vsphere_datacenter.here.name
    cluster     = var.name
  })
}

data "vsphere_datacenter" "here" {
  name = var.datacenter == "" ? null : var.datacenter

  lifecycle {
    precondition {
      condition     = var.arch == "amd64"
      error_message = "vCenter runs no machines of ${var.arch}."
    }
  }
}

data "vsphere_compute_cluster" "here" {
  count         = var.resource_pool == "" ? 1 : 0
  name          = var.compute_cluster
  datacenter_id = data.vsphere_datacenter.here.id
}

data "vsphere_resource_pool" "here" {
  count         = var.resource_pool == "" ? 0 : 1
  name          = var.resource_pool
  datacenter_id = data.vsphere_datacenter.here.id
}

data "vsphere_datastore" "here" {
  name          = var.datastore
  datacenter_id = data.vsphere_datacenter.here.id
}

data "vsphere_network" "nodes" {
  name          = var.network
  datacenter_id = data.vsphere_datacenter.here.id
}

data "vsphere_virtual_machine" "template" {
  name          = var.template
  datacenter_id = data.vsphere_datacenter.here.id
}

# The same tags of two clusters are two tags: a category of its own for each can go with its cluster.
resource "vsphere_tag_category" "cluster" {
  name             = var.name
  description      = "Who owns ${var.name}, and until when"
  cardinality      = "MULTIPLE"
  associable_types = ["VirtualMachine", "Folder"]
}

resource "vsphere_tag" "cluster" {
  for_each    = local.tags
  name        = each.value
  category_id = vsphere_tag_category.cluster.id
}

resource "vsphere_folder" "cluster" {
  path          = local.folder
  type          = "vm"
  datacenter_id = data.vsphere_datacenter.here.id
  tags          = [for tag in vsphere_tag.cluster : tag.id]
}

resource "vsphere_virtual_machine" "node" {
  for_each         = { for node in local.nodes : node.name => node }
  name             = "${var.name}-${each.key}"
  annotation       = local.annotation
  folder           = vsphere_folder.cluster.path
  resource_pool_id = one(concat(data.vsphere_compute_cluster.here[*].resource_pool_id, data.vsphere_resource_pool.here[*].id))
  datastore_id     = data.vsphere_datastore.here.id
  num_cpus         = var.cpus
  memory           = var.memory_gib * 1024
  guest_id         = data.vsphere_virtual_machine.template.guest_id
  firmware         = data.vsphere_virtual_machine.template.firmware
  scsi_type        = data.vsphere_virtual_machine.template.scsi_type
  enable_disk_uuid = true # what the CSI driver finds its disks by
  tags             = [for tag in vsphere_tag.cluster : tag.id]
  # Its address is known, and whoever waits for the cluster asks the API server.
  wait_for_guest_net_timeout = 0
  wait_for_guest_ip_timeout  = 0

  extra_config = {
    "guestinfo.metadata"          = base64gzip(local.metadata[each.key])
    "guestinfo.metadata.encoding" = "gzip+base64"
    "guestinfo.userdata"          = base64gzip(module.kubeadm.user_data[each.key])
    "guestinfo.userdata.encoding" = "gzip+base64"
  }

  network_interface {
    network_id   = data.vsphere_network.nodes.id
    adapter_type = data.vsphere_virtual_machine.template.network_interface_types[0]
  }

  disk {
    label            = "disk0"
    size             = max(var.disk_gib, data.vsphere_virtual_machine.template.disks[0].size)
    thin_provisioned = data.vsphere_virtual_machine.template.disks[0].thin_provisioned
    eagerly_scrub    = data.vsphere_virtual_machine.template.disks[0].eagerly_scrub
  }

  clone {
    template_uuid = data.vsphere_virtual_machine.template.id
  }

  lifecycle {
    # cloud-init clears it.
    ignore_changes = [extra_config]
  }
}
