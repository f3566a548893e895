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
