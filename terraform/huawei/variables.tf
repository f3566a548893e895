variable "region" {
  description = "Region; null: what HW_REGION_NAME says."
  type        = string
  default     = null
}

variable "size" {
  description = "Flavor of all nodes, of the wanted arch. Empty: c7.large.2, or kc1.large.2 for arm64: 2 vCPUs with 4 GiB."
  type        = string
  default     = ""
}

variable "image" {
  description = "Name of the public image of all nodes, Debian or Ubuntu with cloud-init. Empty: Ubuntu 22.04, of the wanted arch."
  type        = string
  default     = ""
}

variable "availability_zone" {
  description = "Zone of all nodes. Empty: the region's first."
  type        = string
  default     = ""
}

variable "disk_gib" {
  description = "Size of each node's disk, in GiB; Huawei's least is 40."
  type        = number
  default     = 40
}

variable "bandwidth" {
  description = "Bandwidth of each node's elastic IP, in Mbit/s; what is charged is the traffic."
  type        = number
  default     = 100
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
  description = "The access key of the cloud controller manager and of the CSI driver, for their cloud-config: one of its own, not that of the run. null: cloud-config is without."
  type = object({
    access_key = string
    secret_key = string
    project_id = string
  })
  default   = null
  sensitive = true
}
