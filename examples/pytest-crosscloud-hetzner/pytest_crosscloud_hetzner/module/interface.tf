# What every root module takes; see ../../README.md. Each has this file as a link, interface.tf.

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
