variable "region" {
  description = "Region; null: what ALICLOUD_REGION says."
  type        = string
  default     = null
}

variable "size" {
  description = "Instance type of all nodes, of the wanted arch. Empty: ecs.g7.large, or ecs.g8y.large for arm64: 2 vCPUs with 8 GiB."
  type        = string
  default     = ""
}

variable "image" {
  description = "ID of the image of all nodes, Debian or Ubuntu with cloud-init. Empty: the newest Ubuntu 24.04 of Alibaba's own, of the wanted arch."
  type        = string
  default     = ""
}

variable "zone" {
  description = "Zone of all nodes. Empty: the first that has the instance type."
  type        = string
  default     = ""
}

variable "disk_gib" {
  description = "Size of each node's disk, in GiB."
  type        = number
  default     = 40
}

variable "bandwidth" {
  description = "Bandwidth of the elastic IP, in Mbit/s; what is charged is the traffic."
  type        = number
  default     = 100
}

variable "network_cidr" {
  description = "Addresses of the nodes (the lower half), and of the NAT gateway."
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
  description = "The access key of the cloud controller manager, for its cloud-config.conf: one of its own, not that of the run. null: cloud-config.conf is without, and the instances need a RAM role."
  type = object({
    access_key_id     = string
    access_key_secret = string
  })
  default   = null
  sensitive = true
}

variable "role_name" {
  description = "RAM role of the instances, which is there already: what the cloud controller manager and the CSI driver may do. null: none."
  type        = string
  default     = null
}
