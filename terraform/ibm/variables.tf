variable "zone" {
  description = "Zone of the workers; its region is where the VPC is."
  type        = string
  default     = "eu-de-1"
}

variable "size" {
  description = "Flavor of the workers."
  type        = string
  default     = "bx2.2x8"
}

variable "resource_group" {
  description = "Resource group of all that is made. Empty: the account's default one."
  type        = string
  default     = ""
}

variable "network_cidr" {
  description = "Addresses of the workers; apart from pod_cidr and service_cidr."
  type        = string
  default     = "10.240.0.0/24"
}
