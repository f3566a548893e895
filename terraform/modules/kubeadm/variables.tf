variable "name" {
  description = "The cluster's name."
  type        = string
}

variable "kubernetes_version" {
  description = "Version of the node bundle, e.g. v1.36.3."
  type        = string
}

variable "endpoint" {
  description = "Address or DNS name at which the API server is reached from outside."
  type        = string
}

variable "nodes" {
  description = "All nodes, the control plane first; each with the address at which the other nodes reach it."
  type = list(object({
    name    = string
    address = string
  }))
}

variable "bundle" {
  description = "Where the nodes get Kubernetes: the node binary and the control plane's images. A binary_url that ends with / is a directory of programs, each with its .sha256 beside it, as the Kubernetes project publishes them; without an images_url kubeadm pulls the images itself. Files of the node (file://) are not checked again."
  type = object({
    binary_url    = string
    binary_sha256 = optional(string, "")
    images_url    = string
    images_sha256 = optional(string, "")
    pause_image   = string
  })
}

variable "bootstrap" {
  description = "The cluster's CAs, keys and bootstrap token, as pytest_crosscloud.provision.bootstrap makes them."
  type = object({
    ca              = object({ certificate = string, key = string })
    etcd_ca         = object({ certificate = string, key = string })
    front_proxy_ca  = object({ certificate = string, key = string })
    service_account = object({ certificate = string, key = string })
    proxy           = object({ certificate = string, key = string })
    token           = string
  })
  sensitive = true
}

variable "pod_cidr" {
  description = "Addresses of pods; each node takes a /24 of it."
  type        = string
}

variable "service_cidr" {
  description = "Addresses of Services."
  type        = string
}

variable "registries" {
  description = "Plain-HTTP registries (host:port) that the nodes may pull from."
  type        = list(string)
  default     = []
}

variable "durable" {
  description = "Whether etcd waits for the disk, Go collects its garbage as usual and kubelet keeps a share of the disk free. A cluster that lives for minutes and dies with its machine does without."
  type        = bool
  default     = true
}

variable "before" {
  description = "Commands for the shell of every node, before anything else: what a cloud's network needs to reach the nodes' addresses. NODE_NAME and NODE_ADDRESS are set."
  type        = list(string)
  default     = []
}

variable "cloud_conf" {
  description = "What the cloud's controller manager and CSI driver read, /etc/kubernetes/cloud.conf of the control plane. Empty: there is none."
  type        = string
  default     = ""
  sensitive   = true
}

variable "cloud_provider" {
  description = "external: a cloud controller manager will be installed, and nodes wait for it; they are called as their machines, <name>-<node>. Empty: none will."
  type        = string
  default     = ""
  validation {
    condition     = contains(["", "external"], var.cloud_provider)
    error_message = "Kubernetes knows external cloud providers only: external, or nothing."
  }
}
