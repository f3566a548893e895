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

variable "run" {
  description = "The run that owns the machines."
  type        = string
}

variable "python" {
  description = "The interpreter that has pytest_crosscloud."
  type        = string
  default     = "python3"
}

variable "cidr" {
  description = "The cluster's own network, a /24 of this computer."
  type        = string
}

variable "disk" {
  description = "A disk with the node bundle's images, which every machine gets a clone of. Empty: machines start with empty disks."
  type        = string
  default     = ""
}
