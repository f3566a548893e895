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
  description = "Where the machines are: fsn1, nbg1, hel1, ash, hil or sin. arm64 is to be had in the first three."
  type        = string
  default     = "fsn1"
}

variable "size" {
  description = "Type of the machines; empty: cx23, or cax11 for arm64: 2 CPUs, 4 GiB. Not every location has every type."
  type        = string
  default     = ""
}

variable "network_cidr" {
  description = "Addresses of the nodes, a /24 of network_range."
  type        = string
  default     = "10.240.0.0/24"
}

variable "network_range" {
  description = "The whole network: the nodes' addresses and pod_cidr are in it."
  type        = string
  default     = "10.0.0.0/8"
}

variable "allowed_cidrs" {
  description = "From where the API server is reached."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}
