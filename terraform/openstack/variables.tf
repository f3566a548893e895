variable "region" {
  description = "Region; null: what OS_REGION_NAME says, or the only one."
  type        = string
  default     = null
}

variable "external_network" {
  description = "Name of the network that floating IPs come from. Empty: the only external one."
  type        = string
  default     = ""
}

variable "image" {
  description = "Name of the image of all nodes, Debian or Ubuntu with cloud-init. Empty: Debian 12; there is no common name for one of arm64."
  type        = string
  default     = ""
}

variable "size" {
  description = "Name of the nodes' flavor, 2 vCPUs with 4 GiB or more. Empty: m1.medium; there is no common name for one of arm64."
  type        = string
  default     = ""
}

variable "disk_gib" {
  description = "Size of each node's volume, in GiB. 0: the flavor's own disk."
  type        = number
  default     = 0
}

variable "availability_zone" {
  description = "Zone of all nodes; null: Nova chooses."
  type        = string
  default     = null
}

variable "dns" {
  description = "Name servers of the nodes. Empty: Neutron's own."
  type        = list(string)
  default     = []
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
  description = "The application credential of the cloud controller manager and of Cinder's CSI driver, for their cloud.conf: one of their own, not that of the run. null: cloud.conf is without."
  type = object({
    auth_url                      = string
    application_credential_id     = string
    application_credential_secret = string
  })
  default   = null
  sensitive = true
}
