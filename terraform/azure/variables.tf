# -- the same in every root module; see ../README.md

variable "name" {
  type = string
}

variable "kubernetes_version" {
  type = string
}

variable "bundle" {
  type = object({
    binary_url    = string
    binary_sha256 = optional(string, "")
    images_url    = string
    images_sha256 = optional(string, "")
    pause_image   = string
  })
}

variable "workers" {
  type = number
}

variable "arch" {
  type = string
}

variable "pod_cidr" {
  type    = string
  default = "10.244.0.0/16"
}

variable "service_cidr" {
  type    = string
  default = "10.96.0.0/16"
}

variable "tags" {
  type = map(string)
}

variable "bootstrap" {
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

variable "registries" {
  type = list(string)
}

# -- this cloud's own

variable "location" {
  description = "Azure region."
  type        = string
  default     = "westeurope"
}

variable "size" {
  description = "Size of the nodes; empty: Standard_D2s_v5, or Standard_D2ps_v5 for arm64."
  type        = string
  default     = ""
}

variable "disk_gb" {
  description = "Size of each node's disk, GiB."
  type        = number
  default     = 64
}

variable "network_cidr" {
  description = "Addresses of the nodes."
  type        = string
  default     = "10.240.0.0/24"
}

variable "allowed_cidrs" {
  description = "From where the API server is reached."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "cloud_provider" {
  description = "external: the nodes wait for Azure's cloud controller manager, and have an identity that may act for it. Empty: none will be installed."
  type        = string
  default     = ""
}
