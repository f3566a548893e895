# A cluster of EC2 instances in a VPC of its own. Its API server is reached at an elastic IP, which is known before the
# instance is: a network load balancer takes minutes to come up, and with one control plane it balances nothing.

terraform {
  required_version = ">= 1.6"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

# Credentials, endpoints, proxies: what the environment says, as for any program of AWS.
provider "aws" {
  region = var.region

  default_tags {
    tags = var.tags
  }
}

locals {
  instance_type = coalesce(var.instance_type, { amd64 = "t3.medium", arm64 = "t4g.medium" }[var.arch])
  zones         = sort(data.aws_ec2_instance_type_offerings.this.locations)
  image         = var.image != "" ? var.image : data.aws_ami.debian[0].id
  endpoint      = aws_eip.endpoint.public_ip

  # How the cloud controller manager and the EBS CSI driver tell what is this cluster's.
  cluster_tag = { "kubernetes.io/cluster/${var.name}" = "owned" }

  # cloud-provider-aws, pkg/providers/v1/config: CloudConfig
  cloud_conf = <<-EOT
    [Global]
    Zone=${aws_subnet.this.availability_zone}
    VPC=${aws_vpc.this.id}
    SubnetID=${aws_subnet.this.id}
    RouteTableID=${aws_route_table.this.id}
    KubernetesClusterID=${var.name}
  EOT
}

# Not every zone has every type.
data "aws_ec2_instance_type_offerings" "this" {
  location_type = "availability-zone"

  filter {
    name   = "instance-type"
    values = [local.instance_type]
  }
}

data "aws_ami" "debian" {
  count       = var.image == "" ? 1 : 0
  most_recent = true
  owners      = ["136693071363"] # Debian's own account, https://wiki.debian.org/Cloud/AmazonEC2Image

  filter {
    name   = "name"
    values = ["debian-12-${var.arch}-*"]
  }
}

resource "aws_vpc" "this" {
  cidr_block           = var.network_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = merge({ Name = var.name }, local.cluster_tag)
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_subnet" "this" {
  vpc_id                  = aws_vpc.this.id
  cidr_block              = var.network_cidr
  availability_zone       = local.zones[0]
  map_public_ip_on_launch = true # the way out: a NAT gateway costs more than the nodes
  tags                    = merge({ Name = var.name, "kubernetes.io/role/elb" = "1" }, local.cluster_tag)

  lifecycle {
    precondition {
      condition     = length(local.zones) > 0
      error_message = "This region has no ${local.instance_type}: take another instance_type or region (clouds.aws.variables of cross-cloud.yml)."
    }
  }
}

resource "aws_route_table" "this" {
  vpc_id = aws_vpc.this.id
  tags   = merge({ Name = var.name }, local.cluster_tag)

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }
}

resource "aws_route_table_association" "this" {
  subnet_id      = aws_subnet.this.id
  route_table_id = aws_route_table.this.id
}

resource "aws_security_group" "nodes" {
  name        = "${var.name}-nodes"
  description = "Nodes of ${var.name}"
  vpc_id      = aws_vpc.this.id
  tags        = merge({ Name = "${var.name}-nodes" }, local.cluster_tag)

  ingress {
    description = "API server"
    protocol    = "tcp"
    from_port   = 6443
    to_port     = 6443
    cidr_blocks = var.allowed_cidrs
  }

  # A rule that names a group means its members' own addresses: pods have others.
  ingress {
    description = "nodes and pods"
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    self        = true
    cidr_blocks = [var.pod_cidr]
  }

  egress {
    description = "anything"
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_eip" "endpoint" {
  domain = "vpc"
  tags   = { Name = "${var.name}-endpoint" }
}

# The control plane's own, and not the instance's, so that the address is there before the instance starts: it would take
# the place of one that the instance already downloads by.
resource "aws_network_interface" "endpoint" {
  description       = "Control plane of ${var.name}"
  subnet_id         = aws_subnet.this.id
  private_ips       = [local.nodes[0].address]
  source_dest_check = false # nodes route each other's pods
  security_groups   = [aws_security_group.nodes.id]
  tags              = merge({ Name = "${var.name}-endpoint" }, local.cluster_tag)
}

resource "aws_eip_association" "endpoint" {
  depends_on = [aws_internet_gateway.this] # no address leads into a network without one

  allocation_id        = aws_eip.endpoint.id
  network_interface_id = aws_network_interface.endpoint.id
}

resource "aws_instance" "node" {
  for_each = { for node in local.nodes : node.name => merge(node, { own = node.role != "control-plane" }) }
  # What user-data downloads comes through these.
  depends_on = [aws_route_table_association.this, aws_eip_association.endpoint]

  ami                                  = local.image
  instance_type                        = local.instance_type
  subnet_id                            = each.value.own ? aws_subnet.this.id : null
  private_ip                           = each.value.own ? each.value.address : null
  source_dest_check                    = each.value.own ? false : null
  vpc_security_group_ids               = each.value.own ? [aws_security_group.nodes.id] : null
  iam_instance_profile                 = var.instance_profile != "" ? var.instance_profile : each.value.own ? null : one(aws_iam_instance_profile.controllers[*].name)
  user_data_base64                     = base64gzip(module.kubeadm.user_data[each.key]) # 16 KiB at most
  user_data_replace_on_change          = true
  instance_initiated_shutdown_behavior = "terminate"
  tags                                 = merge({ Name = "${var.name}-${each.key}" }, local.cluster_tag)
  # Here and not in the disk's block, whose tags come with a request of their own, after the instance. default_tags do
  # not reach it.
  volume_tags = merge(var.tags, { Name = "${var.name}-${each.key}" })

  dynamic "network_interface" {
    for_each = each.value.own ? [] : [aws_network_interface.endpoint.id]
    content {
      device_index         = 0
      network_interface_id = network_interface.value
    }
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = var.disk_gib
    encrypted   = true
  }

  # Who reads the metadata has the cluster's keys: a token for each request, and none through a pod's network.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
}
