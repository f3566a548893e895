# The nodes and their user-data: made of variables, local.endpoint and local.cloud_conf alone.

locals {
  nodes = [for index in range(1 + var.workers) : {
    name    = index == 0 ? "control-plane" : "worker-${index}"
    address = cidrhost(var.network_cidr, 10 + index)
    role    = index == 0 ? "control-plane" : "worker"
  }]

  prefix  = var.network_prefix == null ? tonumber(split("/", var.network_cidr)[1]) : var.network_prefix
  gateway = var.gateway == "" ? cidrhost(var.network_cidr, 1) : var.gateway
  # What cloud-init's VMware datasource reads before there is a network.
  metadata = { for node in local.nodes : node.name => jsonencode({
    instance-id    = "${var.name}-${node.name}"
    local-hostname = node.name
    # Any process of the machine can ask VMware for the user-data, a pod's too: cloud-init clears it when it has read it.
    redact = ["userdata"]
    network = {
      version = 2
      ethernets = { nic = {
        match       = { name = "e*" }
        dhcp4       = false
        dhcp6       = false
        addresses   = ["${node.address}/${local.prefix}"]
        routes      = [{ to = "0.0.0.0/0", via = local.gateway }]
        nameservers = { addresses = length(var.dns) == 0 ? [local.gateway] : var.dns }
      } }
    }
  }) }

  # A firewall, on each node, because vSphere has none. mangle comes before a Service's address is turned into a pod's,
  # so node ports are closed too.
  firewall = concat(
    [
      "command -v iptables >/dev/null || { apt-get -qq update && apt-get -qq install --no-install-recommends --yes iptables; }",
      "iptables -t mangle -N CROSSCLOUD",
      "iptables -t mangle -A CROSSCLOUD -i lo -j RETURN",
      "iptables -t mangle -A CROSSCLOUD -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
      "iptables -t mangle -A CROSSCLOUD -p icmp -j RETURN",
    ],
    [for node in local.nodes : "iptables -t mangle -A CROSSCLOUD -s ${node.address} -j RETURN"],
    ["iptables -t mangle -A CROSSCLOUD -s ${var.pod_cidr} -j RETURN"],
    [for cidr in var.allowed_cidrs : "iptables -t mangle -A CROSSCLOUD -s ${cidr} -d ${local.nodes[0].address} -p tcp --dport 6443 -j RETURN"],
    [
      "iptables -t mangle -A CROSSCLOUD -j DROP",
      "iptables -t mangle -A PREROUTING -j CROSSCLOUD",
    ],
  )
}

module "kubeadm" {
  source             = "../modules/kubeadm"
  name               = var.name
  kubernetes_version = var.kubernetes_version
  endpoint           = local.endpoint
  nodes              = local.nodes
  bundle             = var.bundle
  bootstrap          = var.bootstrap
  pod_cidr           = var.pod_cidr
  service_cidr       = var.service_cidr
  registries         = var.registries
  before             = local.firewall
  cloud_conf         = local.cloud_conf
  cloud_provider     = var.cloud_provider
}
