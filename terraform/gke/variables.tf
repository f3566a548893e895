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

variable "zone" {
  description = "Google Cloud zone of the control plane and of the nodes."
  type        = string
  default     = "europe-west4-a"
}

variable "size" {
  description = "Machine type of the nodes; empty: e2-standard-2, or c4a-standard-2 for arm64."
  type        = string
  default     = ""
}

variable "disk_gb" {
  description = "Size of each node's disk, GB."
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

variable "release_channel" {
  description = "GKE's release channel, which must have the Kubernetes version: RAPID, REGULAR or STABLE."
  type        = string
  default     = "RAPID"
}

variable "authentication" {
  description = "token: the KUBECONFIG has a token that lives for an hour. plugin: it calls gke-gcloud-auth-plugin, which must be on PATH."
  type        = string
  default     = "token"
  validation {
    condition     = contains(["token", "plugin"], var.authentication)
    error_message = "authentication is token or plugin."
  }
}

variable "service_account" {
  description = "E-mail of the service account that the nodes act as. Empty: Compute Engine's default one."
  type        = string
  default     = ""
}
