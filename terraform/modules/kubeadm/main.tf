# Renders the cloud-init user-data that turns a Debian or Ubuntu machine into a node of a kubeadm cluster. The same on
# every cloud: what differs comes in by variables.

terraform {
  required_version = ">= 1.6"
}

locals {
  control_plane = var.nodes[0]
  workers       = slice(var.nodes, 1, length(var.nodes))
  prefix        = tonumber(split("/", var.pod_cidr)[1])
  pod_cidrs     = { for index, node in var.nodes : node.name => cidrsubnet(var.pod_cidr, 24 - local.prefix, index) }

  # A controller manager finds a node's machine by the node's name, and machines' names begin with the cluster's.
  names = { for node in var.nodes : node.name => var.cloud_provider == "" ? node.name : "${var.name}-${node.name}" }

  settings = { for node in var.nodes : node.name => {
    NODE_NAME     = local.names[node.name]
    NODE_ADDRESS  = node.address
    CONTROL_PLANE = local.control_plane.address
    POD_CIDR      = var.pod_cidr
    NODE_POD_CIDR = local.pod_cidrs[node.name]
    ROUTES        = join(" ", [for other in var.nodes : "${local.pod_cidrs[other.name]}=${other.address}" if other.name != node.name])
    BINARY_URL    = var.bundle.binary_url
    BINARY_SHA256 = var.bundle.binary_sha256
    IMAGES_URL    = var.bundle.images_url
    IMAGES_SHA256 = var.bundle.images_sha256
    PAUSE_IMAGE   = var.bundle.pause_image
  } }

  # A quarter of a control plane's start is garbage collection; a cluster that lives for minutes can do with less of it.
  environment = var.durable ? [] : [{ name = "GOGC", value = "400" }]

  provider = var.cloud_provider == "" ? {} : { cloud-provider = var.cloud_provider }

  arguments = { for component, arguments in {
    controller_manager = merge({ leader-elect = "false", kube-api-qps = "500", kube-api-burst = "1000" }, local.provider)
    scheduler          = { leader-elect = "false" }
    # Alone, etcd waits half of the election timeout before it elects itself.
    etcd = var.durable ? {} : { unsafe-no-fsync = "true", heartbeat-interval = "10", election-timeout = "100" }
  } : component => [for name, value in arguments : { name = name, value = value }] }

  kubelet_configuration = merge({
    apiVersion   = "kubelet.config.k8s.io/v1beta1"
    kind         = "KubeletConfiguration"
    cgroupDriver = "cgroupfs"
    clusterDNS   = [cidrhost(var.service_cidr, 10)]
    failCgroupV1 = false
    # A machine of namespaces shares its host's swap, and must not turn it off.
    failSwapOn = false
    # It shares its host's disk, too: how full that is, in percent, is not its affair, and removing images helps nobody.
    }, { for setting, value in {
      evictionHard                = { "imagefs.available" = "1Gi", "memory.available" = "100Mi", "nodefs.available" = "1Gi" }
      imageGCHighThresholdPercent = 100
  } : setting => value if !var.durable })

  registration = { for node in var.nodes : node.name => {
    name             = local.names[node.name]
    criSocket        = "unix:///run/containerd/containerd.sock"
    imagePullPolicy  = var.bundle.images_url == "" ? "IfNotPresent" : "Never"
    kubeletExtraArgs = [for name, value in merge({ node-ip = node.address }, local.provider) : { name = name, value = value }]
    # Without workers, the control plane takes the pods.
    taints = node.name != local.control_plane.name || length(local.workers) == 0 ? [] : [
      { key = "node-role.kubernetes.io/control-plane", effect = "NoSchedule" },
    ]
  } }

  # Whoever provisions has the deadline; kubeadm's own, of a minute or four, would end what is only slow.
  timeouts = { for name in ["controlPlaneComponentHealthCheck", "discovery", "kubeletHealthCheck", "kubernetesAPICall", "tlsBootstrap"] : name => "10m0s" }

  init_configuration = join("---\n", [for document in [
    {
      apiVersion       = "kubeadm.k8s.io/v1beta4"
      kind             = "InitConfiguration"
      bootstrapTokens  = [{ token = var.bootstrap.token, ttl = "2h0m0s" }]
      localAPIEndpoint = { advertiseAddress = local.control_plane.address }
      nodeRegistration = local.registration[local.control_plane.name]
      timeouts         = local.timeouts
      # kube-proxy is a service of the node; a cluster's DNS is somebody's project under test. kubelet-finalize restarts
      # kubelet so that it rotates its client certificate, which is as valid as the cluster is old at most.
      skipPhases = ["preflight", "addon", "upload-certs", "show-join-command", "kubelet-finalize"]
    },
    {
      apiVersion                = "kubeadm.k8s.io/v1beta4"
      kind                      = "ClusterConfiguration"
      clusterName               = var.name
      kubernetesVersion         = var.kubernetes_version
      controlPlaneEndpoint      = "${local.control_plane.address}:6443"
      encryptionAlgorithm       = "ECDSA-P256"
      certificateValidityPeriod = "168h"
      networking                = { serviceSubnet = var.service_cidr }
      apiServer = {
        certSANs  = distinct([var.endpoint, local.control_plane.address, local.names[local.control_plane.name]])
        extraEnvs = local.environment
      }
      # There is one control plane: an election takes seconds and has one candidate. At its start the controller manager
      # asks for a token for each of its controllers; with the default 20 requests a second that takes seconds too.
      controllerManager = {
        extraArgs = local.arguments.controller_manager
        extraEnvs = local.environment
      }
      scheduler = {
        extraArgs = local.arguments.scheduler
        extraEnvs = local.environment
      }
      etcd = { local = {
        dataDir   = "/var/lib/etcd"
        extraArgs = local.arguments.etcd
        extraEnvs = local.environment
      } }
    },
    local.kubelet_configuration,
  ] : yamlencode(document)])

  join_configuration = { for node in local.workers : node.name => yamlencode({
    apiVersion = "kubeadm.k8s.io/v1beta4"
    kind       = "JoinConfiguration"
    discovery = {
      file              = { kubeConfigPath = "/etc/crosscloud/discovery.conf" }
      tlsBootstrapToken = var.bootstrap.token
    }
    nodeRegistration = local.registration[node.name]
    timeouts         = local.timeouts
    skipPhases       = ["preflight"]
  }) }

  cluster_entry = {
    name    = var.name
    cluster = { server = "https://${local.control_plane.address}:6443", certificate-authority-data = base64encode(var.bootstrap.ca.certificate) }
  }
  discovery_kubeconfig = yamlencode({
    apiVersion      = "v1"
    kind            = "Config"
    clusters        = [local.cluster_entry]
    current-context = "discovery"
    contexts        = [{ name = "discovery", context = { cluster = var.name, user = "anonymous" } }]
    users           = [{ name = "anonymous", user = {} }]
  })
  proxy_kubeconfig = yamlencode({
    apiVersion      = "v1"
    kind            = "Config"
    clusters        = [local.cluster_entry]
    current-context = "kube-proxy"
    contexts        = [{ name = "kube-proxy", context = { cluster = var.name, user = "kube-proxy" } }]
    users = [{ name = "kube-proxy", user = {
      client-certificate-data = base64encode(var.bootstrap.proxy.certificate)
      client-key-data         = base64encode(var.bootstrap.proxy.key)
    } }]
  })
  proxy_configuration = yamlencode({
    apiVersion       = "kubeproxy.config.k8s.io/v1alpha1"
    kind             = "KubeProxyConfiguration"
    clientConnection = { kubeconfig = "/etc/crosscloud/kube-proxy.kubeconfig" }
    clusterCIDR      = var.pod_cidr
    mode             = "iptables"
    # 0: leave these sysctls as they are; a machine of namespaces may not write them.
    conntrack = { maxPerCore = 0, min = 0, tcpEstablishedTimeout = "0s", tcpCloseWaitTimeout = "0s" }
  })

  # Point to point rather than a bridge: every packet is routed, so Services work without br_netfilter.
  cni_configuration = { for node in var.nodes : node.name => jsonencode({
    cniVersion = "1.0.0"
    name       = "pods"
    plugins = [
      {
        type = "ptp"
        ipam = { type = "host-local", ranges = [[{ subnet = local.pod_cidrs[node.name] }]], routes = [{ dst = "0.0.0.0/0" }] }
      },
      { type = "portmap", capabilities = { portMappings = true } },
    ]
  }) }

  pki = {
    "ca.crt"             = var.bootstrap.ca.certificate
    "ca.key"             = var.bootstrap.ca.key
    "etcd/ca.crt"        = var.bootstrap.etcd_ca.certificate
    "etcd/ca.key"        = var.bootstrap.etcd_ca.key
    "front-proxy-ca.crt" = var.bootstrap.front_proxy_ca.certificate
    "front-proxy-ca.key" = var.bootstrap.front_proxy_ca.key
    "sa.pub"             = var.bootstrap.service_account.certificate
    "sa.key"             = var.bootstrap.service_account.key
  }

  # path => [content, mode]
  common_files = merge(
    {
      "/etc/containerd/config.toml"            = [templatefile("${path.module}/files/containerd.toml", { pause_image = var.bundle.pause_image }), "0644"]
      "/etc/systemd/system/kubelet.service"    = [file("${path.module}/files/kubelet.service"), "0644"]
      "/etc/systemd/system/kube-proxy.service" = [file("${path.module}/files/kube-proxy.service"), "0644"]
      "/etc/crosscloud/node.sh"                = [file("${path.module}/files/node.sh"), "0755"]
      "/etc/crosscloud/kube-proxy.kubeconfig"  = [local.proxy_kubeconfig, "0600"]
      "/etc/crosscloud/kube-proxy.yaml"        = [local.proxy_configuration, "0644"]
    },
    length(var.before) == 0 ? {} : { "/etc/crosscloud/before.sh" = [join("\n", concat(["set -eu"], var.before, [""])), "0644"] },
    { for registry in var.registries : "/etc/containerd/certs.d/${registry}/hosts.toml" => [
      "server = \"http://${registry}\"\n[host.\"http://${registry}\"]\n  capabilities = [\"pull\", \"resolve\"]\n", "0644"
    ] },
  )
  role_files = merge(
    { (local.control_plane.name) = merge(
      { "/etc/crosscloud/kubeadm-init.yaml" = [local.init_configuration, "0600"] },
      { for name, content in local.pki : "/etc/kubernetes/pki/${name}" => [content, "0600"] },
      var.cloud_conf == "" ? {} : { "/etc/kubernetes/cloud.conf" = [var.cloud_conf, "0600"] },
    ) },
    { for node in local.workers : node.name => {
      "/etc/crosscloud/kubeadm-join.yaml" = [local.join_configuration[node.name], "0600"]
      "/etc/crosscloud/discovery.conf"    = [local.discovery_kubeconfig, "0644"]
      "/etc/crosscloud/ca.crt"            = [var.bootstrap.ca.certificate, "0644"]
    } },
  )
  node_files = { for node in var.nodes : node.name => {
    "/etc/crosscloud/node.env"        = [join("", [for key, value in local.settings[node.name] : "${key}='${value}'\n"]), "0644"]
    "/etc/cni/net.d/10-pods.conflist" = [local.cni_configuration[node.name], "0644"]
  } }

  cloud_config = { for node in var.nodes : node.name => {
    write_files = [for path, file in merge(local.common_files, local.role_files[node.name], local.node_files[node.name]) : {
      path        = path
      content     = file[0]
      permissions = file[1]
    }]
    runcmd = [["/etc/crosscloud/node.sh"]]
  } }
}
