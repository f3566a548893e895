variable "project_id" {
  description = "The project that the machines belong to; the plugin takes METAL_PROJECT_ID."
  type        = string
  default     = ""
}

variable "metro" {
  description = "Where the machines are."
  type        = string
  default     = "am"
}

variable "size" {
  description = "Plan of the machines; empty: c3.small.x86, or c3.large.arm64 for arm64."
  type        = string
  default     = ""
}

variable "network_cidr" {
  description = "Addresses of the nodes on their private VLAN."
  type        = string
  default     = "10.240.0.0/24"
}

variable "vlan" {
  description = "Number of the private VLAN, unique in project and metro. Default: one that follows from the name."
  type        = number
  default     = null
}

variable "allowed_cidrs" {
  description = "From where the API server is reached."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "cloud_provider" {
  description = "external: the nodes wait for the service's controller manager. Empty: none will be installed."
  type        = string
  default     = ""
}
