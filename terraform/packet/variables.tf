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

variable "project_id" {
  description = "The project that the machines belong to; the plugin takes METAL_PROJECT_ID."
  type        = string
  default     = ""
}

variable "metro" {
  description = "Where the machines are."
  type        = string
  default     = "am"
}

variable "size" {
  description = "Plan of the machines; empty: c3.small.x86, or c3.large.arm64 for arm64."
  type        = string
  default     = ""
}

variable "network_cidr" {
  description = "Addresses of the nodes on their private VLAN."
  type        = string
  default     = "10.240.0.0/24"
}

variable "vlan" {
  description = "Number of the private VLAN, unique in project and metro. Default: one that follows from the name."
  type        = number
  default     = null
}

variable "allowed_cidrs" {
  description = "From where the API server is reached."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "cloud_provider" {
  description = "external: the nodes wait for the service's controller manager. Empty: none will be installed."
  type        = string
  default     = ""
}
