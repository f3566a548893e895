variable "region" {
  description = "Region; null: what AWS_REGION or the profile says."
  type        = string
  default     = null
}

variable "instance_type" {
  description = "Type of all nodes, of the wanted arch. Empty: t3.medium or t4g.medium, 2 vCPUs with 4 GiB."
  type        = string
  default     = ""
}

variable "image" {
  description = "AMI of all nodes, Debian or Ubuntu with cloud-init. Empty: the newest Debian 12 of Debian's own account."
  type        = string
  default     = ""
}

variable "disk_gib" {
  description = "Size of each node's disk, in GiB."
  type        = number
  default     = 20
}

variable "network_cidr" {
  description = "The VPC's own range; its only subnet has all of it."
  type        = string
  default     = "10.240.0.0/24"
}

variable "allowed_cidrs" {
  description = "Who reaches the API server from outside."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "instance_profile" {
  description = "An instance profile that is there, for all nodes. Empty: none, but for the control plane if cloud_provider is external."
  type        = string
  default     = ""
}

variable "permissions_boundary" {
  description = "ARN of the permissions boundary of the role that is made; null: none."
  type        = string
  default     = null
}

variable "cloud_provider" {
  description = "external: nodes wait for a cloud controller manager. Not supported on AWS yet, see README.md. Empty: they do not."
  type        = string
  default     = ""
}
