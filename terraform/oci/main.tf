# Compute instances in a network of their own; the API server behind a network load balancer with a reserved address.

terraform {
  required_version = ">= 1.6"
  required_providers {
    oci = {
      source  = "oracle/oci"
      version = "~> 7.19.0"
    }
  }
}

# Credentials: TF_VAR_tenancy_ocid and so on, which this provider reads itself, or ~/.oci/config.
provider "oci" {
  region = var.region
}

locals {
  endpoint = oci_core_public_ip.api.ip_address
  size     = var.size == "" ? (var.arch == "arm64" ? "VM.Standard.A1.Flex" : "VM.Standard.E5.Flex") : var.size
  # An OCPU of x86 is two threads, one of arm64 is a core.
  ocpus = var.ocpus == 0 ? (var.arch == "arm64" ? 2 : 1) : var.ocpus
  image = var.image == "" ? data.oci_core_images.ubuntu[0].images[0].id : var.image
  zone  = data.oci_identity_availability_domains.all.availability_domains[var.availability_domain - 1].name
  cloud_conf = templatefile("${path.module}/cloud.conf.tftpl", {
    compartment_id = var.compartment_id
    vcn_id         = oci_core_vcn.nodes.id
    subnet_id      = oci_core_subnet.nodes.id
  })
}

data "oci_identity_availability_domains" "all" {
  compartment_id = var.compartment_id

  lifecycle {
    precondition {
      condition     = var.compartment_id != ""
      error_message = "Set the variable compartment_id, or TF_VAR_compartment_id in the environment, to the OCID of a compartment for clusters."
    }
  }
}

data "oci_core_images" "ubuntu" {
  count                    = var.image == "" ? 1 : 0
  compartment_id           = var.compartment_id
  operating_system         = "Canonical Ubuntu"
  operating_system_version = "24.04"
  shape                    = local.size
  sort_by                  = "TIMECREATED"
  sort_order               = "DESC"

  lifecycle {
    postcondition {
      condition     = length(self.images) > 0
      error_message = "This region has no image of Ubuntu 24.04 for ${local.size}: set the variable image or size."
    }
  }
}

resource "oci_core_vcn" "nodes" {
  compartment_id = var.compartment_id
  display_name   = var.name
  cidr_blocks    = [var.network_cidr]
  freeform_tags  = var.tags
}

resource "oci_core_internet_gateway" "nodes" {
  compartment_id = var.compartment_id
  vcn_id         = oci_core_vcn.nodes.id
  display_name   = var.name
  freeform_tags  = var.tags
}

# The network's own table is what the nodes boot with: they fetch packages before there is a route to any pod.
resource "oci_core_default_route_table" "nodes" {
  manage_default_resource_id = oci_core_vcn.nodes.default_route_table_id
  display_name               = var.name
  freeform_tags              = var.tags

  route_rules {
    network_entity_id = oci_core_internet_gateway.nodes.id
    destination       = "0.0.0.0/0"
    destination_type  = "CIDR_BLOCK"
  }
}

# The network's own list lets SSH in from everywhere; this one lets nothing in, and all out. Groups add to it.
resource "oci_core_default_security_list" "nodes" {
  manage_default_resource_id = oci_core_vcn.nodes.default_security_list_id
  display_name               = var.name
  freeform_tags              = var.tags

  egress_security_rules {
    destination = "0.0.0.0/0"
    protocol    = "all"
  }
}

resource "oci_core_subnet" "nodes" {
  compartment_id = var.compartment_id
  vcn_id         = oci_core_vcn.nodes.id
  display_name   = var.name
  cidr_block     = var.network_cidr
  freeform_tags  = var.tags
  depends_on     = [oci_core_default_security_list.nodes]

  lifecycle {
    # Its table becomes that with the pods' routes.
    ignore_changes = [route_table_id]
  }
}

resource "oci_core_network_security_group" "nodes" {
  compartment_id = var.compartment_id
  vcn_id         = oci_core_vcn.nodes.id
  display_name   = "${var.name}-nodes"
  freeform_tags  = var.tags
}

# Nodes and pods reach each other at all ports; so does the load balancer, which has an address of the subnet.
resource "oci_core_network_security_group_security_rule" "inside" {
  for_each                  = toset([var.network_cidr, var.pod_cidr])
  network_security_group_id = oci_core_network_security_group.nodes.id
  direction                 = "INGRESS"
  protocol                  = "all"
  source                    = each.value
  source_type               = "CIDR_BLOCK"
}

resource "oci_core_network_security_group" "api" {
  compartment_id = var.compartment_id
  vcn_id         = oci_core_vcn.nodes.id
  display_name   = "${var.name}-api"
  freeform_tags  = var.tags
}

resource "oci_core_network_security_group_security_rule" "api" {
  for_each                  = toset(var.allowed_cidrs)
  network_security_group_id = oci_core_network_security_group.api.id
  direction                 = "INGRESS"
  protocol                  = "6" # TCP
  source                    = each.value
  source_type               = "CIDR_BLOCK"

  tcp_options {
    destination_port_range {
      min = 6443
      max = 6443
    }
  }
}

# An address can be put on an instance only when that is there, too late for the certificate in its user-data; a load
# balancer takes one that was reserved before.
resource "oci_core_public_ip" "api" {
  compartment_id = var.compartment_id
  display_name   = var.name
  lifetime       = "RESERVED"
  freeform_tags  = var.tags

  lifecycle {
    # Oracle's, once the load balancer has it.
    ignore_changes = [private_ip_id]
  }
}

resource "oci_network_load_balancer_network_load_balancer" "api" {
  compartment_id             = var.compartment_id
  display_name               = var.name
  subnet_id                  = oci_core_subnet.nodes.id
  is_private                 = false
  network_security_group_ids = [oci_core_network_security_group.api.id]
  freeform_tags              = var.tags
  depends_on                 = [oci_core_default_route_table.nodes]

  # Not the first one that is free: that may be a node's.
  assigned_private_ipv4 = cidrhost(var.network_cidr, 5)

  reserved_ips {
    id = oci_core_public_ip.api.id
  }
}

resource "oci_network_load_balancer_backend_set" "api" {
  name                     = "api"
  network_load_balancer_id = oci_network_load_balancer_network_load_balancer.api.id
  policy                   = "FIVE_TUPLE"
  # The node answers the load balancer, not whom it speaks for: so a node reaches its own API server this way, too.
  is_preserve_source = false

  health_checker {
    protocol = "TCP"
    port     = 6443
  }
}

resource "oci_network_load_balancer_backend" "api" {
  name                     = "control-plane"
  backend_set_name         = oci_network_load_balancer_backend_set.api.name
  network_load_balancer_id = oci_network_load_balancer_network_load_balancer.api.id
  ip_address               = oci_core_instance.node["control-plane"].private_ip
  port                     = 6443
}

resource "oci_network_load_balancer_listener" "api" {
  name                     = "api"
  network_load_balancer_id = oci_network_load_balancer_network_load_balancer.api.id
  default_backend_set_name = oci_network_load_balancer_backend_set.api.name
  protocol                 = "TCP"
  port                     = 6443
}

resource "oci_core_instance" "node" {
  for_each             = { for node in local.nodes : node.name => node }
  compartment_id       = var.compartment_id
  availability_domain  = local.zone
  display_name         = "${var.name}-${each.key}"
  shape                = local.size
  freeform_tags        = var.tags
  preserve_boot_volume = false
  # A node fetches packages as soon as it boots.
  depends_on = [oci_core_default_route_table.nodes, oci_core_network_security_group_security_rule.inside]

  metadata = {
    # Of all metadata Oracle takes 32,000 bytes.
    user_data = base64gzip(module.kubeadm.user_data[each.key])
  }

  create_vnic_details {
    subnet_id              = oci_core_subnet.nodes.id
    display_name           = "${var.name}-${each.key}"
    private_ip             = each.value.address
    assign_public_ip       = true # the way out; nothing is let in
    nsg_ids                = [oci_core_network_security_group.nodes.id]
    skip_source_dest_check = true # pods' packets have addresses of their own
    freeform_tags          = var.tags
  }

  dynamic "shape_config" {
    for_each = endswith(local.size, ".Flex") ? [local.ocpus] : []
    content {
      ocpus         = shape_config.value
      memory_in_gbs = var.memory_gib
    }
  }

  source_details {
    source_type             = "image"
    source_id               = local.image
    boot_volume_size_in_gbs = var.disk_gib
  }

  instance_options {
    are_legacy_imds_endpoints_disabled = true
  }
}

# Oracle's network has no Ethernet below it: a packet goes where the subnet's table says, whatever the node's own does.
data "oci_core_private_ips" "node" {
  for_each   = { for node in local.nodes : node.name => node.address }
  subnet_id  = oci_core_subnet.nodes.id
  ip_address = each.value
  depends_on = [oci_core_instance.node]
}

resource "oci_core_route_table" "pods" {
  compartment_id = var.compartment_id
  vcn_id         = oci_core_vcn.nodes.id
  display_name   = "${var.name}-pods"
  freeform_tags  = var.tags

  route_rules {
    network_entity_id = oci_core_internet_gateway.nodes.id
    destination       = "0.0.0.0/0"
    destination_type  = "CIDR_BLOCK"
  }

  dynamic "route_rules" {
    for_each = module.kubeadm.pod_cidrs
    content {
      network_entity_id = data.oci_core_private_ips.node[route_rules.key].private_ips[0].id
      destination       = route_rules.value
      destination_type  = "CIDR_BLOCK"
    }
  }
}

resource "oci_core_route_table_attachment" "pods" {
  subnet_id      = oci_core_subnet.nodes.id
  route_table_id = oci_core_route_table.pods.id
}
