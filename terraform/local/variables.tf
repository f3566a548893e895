variable "run" {
  description = "The run that owns the machines."
  type        = string
}

variable "python" {
  description = "The interpreter that has pytest_crosscloud."
  type        = string
  default     = "python3"
}

variable "cidr" {
  description = "The cluster's own network, a /24 of this computer."
  type        = string
}

variable "disk" {
  description = "A disk with the node bundle's images, which every machine gets a clone of. Empty: machines start with empty disks."
  type        = string
  default     = ""
}
