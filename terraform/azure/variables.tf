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
