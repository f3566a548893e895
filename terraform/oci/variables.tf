variable "compartment_id" {
  description = "OCID of the compartment that everything is made in."
  type        = string
  default     = ""
}

variable "region" {
  description = "Region; null: what ~/.oci/config says."
  type        = string
  default     = null
}

variable "availability_domain" {
  description = "Number of the availability domain of all nodes, from 1."
  type        = number
  default     = 1
}

variable "size" {
  description = "Shape of all nodes, of the wanted arch. Empty: VM.Standard.E5.Flex, or VM.Standard.A1.Flex for arm64."
  type        = string
  default     = ""
}

variable "ocpus" {
  description = "OCPUs of each node of a flexible shape. Empty (0): what has 2 vCPUs, which is 1, or 2 of arm64."
  type        = number
  default     = 0
}

variable "memory_gib" {
  description = "Memory of each node of a flexible shape, in GiB."
  type        = number
  default     = 8
}

variable "image" {
  description = "OCID of the image of all nodes, Debian or Ubuntu with cloud-init. Empty: the newest Ubuntu 24.04 of Oracle's own for the shape."
  type        = string
  default     = ""
}

variable "disk_gib" {
  description = "Size of each node's boot volume, in GiB; Oracle's least is 47."
  type        = number
  default     = 50
}

variable "network_cidr" {
  description = "Addresses of the nodes, and of the network load balancer."
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
