# This cloud's own variables; what every module takes is in interface.tf.

variable "region" {
  description = "Where the machines are."
  type        = string
}

variable "size" {
  description = "Type of the machines: 2 CPUs and 4 GiB are enough."
  type        = string
  default     = "small"
}

variable "network_cidr" {
  description = "Addresses of the nodes, a /24."
  type        = string
  default     = "10.240.0.0/24"
}

variable "allowed_cidrs" {
  description = "From where the API server is reached."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}
