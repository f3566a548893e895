# The nodes and their user-data: made of variables, local.endpoint and local.cloud_conf alone.

locals {
  nodes = [for index in range(1 + var.workers) : {
    name    = index == 0 ? "control-plane" : "worker-${index}"
    address = cidrhost(var.network_cidr, 10 + index)
    role    = index == 0 ? "control-plane" : "worker"
  }]

  # 2 to 3999 are to be had.
  vlan   = var.vlan != null ? var.vlan : 2 + parseint(substr(sha256(var.name), 0, 8), 16) % 3998
  prefix = split("/", var.network_cidr)[1]

  # All of it does nothing on a machine that has its address already, and no bond0.
  before = concat(
    [
      # The VLAN arrives on the bond, tagged; addresses on it are nobody's business but the nodes'.
      "if ! ip -oneline address show to \"$NODE_ADDRESS\" | grep -q .; then",
      "  modprobe 8021q || true",
      "  ip link add link bond0 name private type vlan id ${local.vlan}",
      "  ip address add \"$NODE_ADDRESS/${local.prefix}\" dev private",
      "  ip link set private up",
      "fi",
      # The endpoint's address is routed to the machine, which must know that it is its own.
      "if [ \"$NODE_ADDRESS\" = ${local.nodes[0].address} ] && ! ip -oneline address show to ${local.endpoint} | grep -q .; then",
      "  ip address add ${local.endpoint}/32 dev lo",
      "fi",
      # No firewall stands before the machines: theirs looks at what comes in by the public side, before it is forwarded.
      "if ip link show bond0 >/dev/null 2>&1; then",
      "  command -v iptables >/dev/null || { apt-get -qq update && apt-get -qq install --yes iptables; }",
      "  iptables -t mangle -N outside",
      "  iptables -t mangle -A outside -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
      "  iptables -t mangle -A outside -p icmp -j RETURN",
    ],
    [for cidr in var.allowed_cidrs : "  iptables -t mangle -A outside -p tcp -s ${cidr} -d ${local.endpoint} --dport 6443 -j RETURN"],
    [
      "  iptables -t mangle -A outside -j DROP",
      "  iptables -t mangle -A PREROUTING -i bond0 -j outside",
      # IPv6 has nothing to say to anybody here.
      "  ip6tables -A INPUT -i bond0 -p tcp -m conntrack --ctstate NEW -j DROP",
      # metadata.platformequinix.com and metadata.packet.net, which have the user-data; what is forwarded comes from a pod.
      "  iptables -t mangle -A FORWARD -d 192.80.8.124 -j DROP",
      "fi",
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
  before             = local.before
  cloud_conf         = local.cloud_conf
  cloud_provider     = var.cloud_provider
}
