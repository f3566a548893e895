variable "datacenter" {
  description = "Name of the datacenter. Empty: the only one."
  type        = string
  default     = ""
}

variable "compute_cluster" {
  description = "Name or path of the compute cluster, or of a host without one, that the nodes run on."
  type        = string
  default     = ""
}

variable "resource_pool" {
  description = "Name or path of the resource pool. Empty: the compute cluster's own."
  type        = string
  default     = ""
}

variable "datastore" {
  description = "Name of the datastore of the nodes' disks."
  type        = string
  default     = "datastore1"
}

variable "network" {
  description = "Name of the port group that the nodes are connected to."
  type        = string
  default     = "VM Network"
}

variable "template" {
  description = "Name of the virtual machine or template that nodes are clones of: Debian or Ubuntu with cloud-init 21.3 or newer and open-vm-tools."
  type        = string
  default     = "ubuntu-24.04"
}

variable "folder" {
  description = "Path of the folder below which each cluster gets its own; it is there already. Empty: the datacenter's root folder."
  type        = string
  default     = ""
}

variable "cpus" {
  description = "vCPUs of each node."
  type        = number
  default     = 2
}

variable "memory_gib" {
  description = "Memory of each node, in GiB."
  type        = number
  default     = 4
}

variable "disk_gib" {
  description = "Size of each node's disk, in GiB; not smaller than the template's."
  type        = number
  default     = 20
}

variable "network_cidr" {
  description = "The port group's addresses, or the part of them that this cluster may take; the nodes have those from the tenth on. Nobody else may have them, DHCP included."
  type        = string
  default     = "192.168.10.0/24"
}

variable "network_prefix" {
  description = "Bits of the port group's own prefix, where network_cidr is a part of it; null: they are the same."
  type        = number
  default     = null
}

variable "gateway" {
  description = "The port group's router. Empty: the first address of network_cidr."
  type        = string
  default     = ""
}

variable "dns" {
  description = "Name servers of the nodes. Empty: the router."
  type        = list(string)
  default     = []
}

variable "allowed_cidrs" {
  description = "From where the API server is reached. The nodes themselves see to that: vSphere has no firewall between port groups."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "cloud_provider" {
  description = "external: a cloud controller manager will be installed, and nodes wait for it. Empty: none will."
  type        = string
  default     = ""
}

variable "controllers" {
  description = "vCenter and the account of the cloud controller manager and of the CSI driver, for their vsphere.conf: one of their own, not that of the run. null: there is no vsphere.conf."
  type = object({
    server   = string
    user     = string
    password = string
    insecure = optional(bool, false)
  })
  default   = null
  sensitive = true
}
