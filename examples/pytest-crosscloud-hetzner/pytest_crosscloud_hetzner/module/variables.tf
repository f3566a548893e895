# Hetzner Cloud's own variables; what every module takes is in interface.tf.

variable "location" {
  description = "Where the machines are: fsn1, nbg1, hel1, ash, hil or sin. arm64 is to be had in the first three."
  type        = string
  default     = "fsn1"
}

variable "size" {
  description = "Type of the machines; empty: cx23, or cax11 for arm64: 2 CPUs, 4 GiB. Not every location has every type."
  type        = string
  default     = ""
}

variable "network_cidr" {
  description = "Addresses of the nodes, a /24 of network_range."
  type        = string
  default     = "10.240.0.0/24"
}

variable "network_range" {
  description = "The whole network: the nodes' addresses and pod_cidr are in it."
  type        = string
  default     = "10.0.0.0/8"
}

variable "allowed_cidrs" {
  description = "From where the API server is reached."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}
