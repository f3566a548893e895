variable "zone" {
  description = "Google Cloud zone; its region is where the network is."
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

variable "cloud_provider" {
  description = "external: the nodes wait for Google Cloud's controller manager, which needs service_account. Empty: none will be installed."
  type        = string
  default     = ""
}

variable "service_account" {
  description = "E-mail of the service account that the nodes act as, for a controller manager and the CSI driver. Empty: they have none."
  type        = string
  default     = ""
}
