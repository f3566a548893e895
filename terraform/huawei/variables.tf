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

variable "region" {
  description = "Region; null: what HW_REGION_NAME says."
  type        = string
  default     = null
}

variable "size" {
  description = "Flavor of all nodes, of the wanted arch. Empty: c7.large.2, or kc1.large.2 for arm64: 2 vCPUs with 4 GiB."
  type        = string
  default     = ""
}

variable "image" {
  description = "Name of the public image of all nodes, Debian or Ubuntu with cloud-init. Empty: Ubuntu 22.04, of the wanted arch."
  type        = string
  default     = ""
}

variable "availability_zone" {
  description = "Zone of all nodes. Empty: the region's first."
  type        = string
  default     = ""
}

variable "disk_gib" {
  description = "Size of each node's disk, in GiB; Huawei's least is 40."
  type        = number
  default     = 40
}

variable "bandwidth" {
  description = "Bandwidth of each node's elastic IP, in Mbit/s; what is charged is the traffic."
  type        = number
  default     = 100
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
  description = "external: a cloud controller manager will be installed, and nodes wait for it. Empty: none will."
  type        = string
  default     = ""
}

variable "controllers" {
  description = "The access key of the cloud controller manager and of the CSI driver, for their cloud-config: one of its own, not that of the run. null: cloud-config is without."
  type = object({
    access_key = string
    secret_key = string
    project_id = string
  })
  default   = null
  sensitive = true
}
