# A cluster of virtual machines on Azure, in a resource group of its own.

terraform {
  required_version = ">= 1.6"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55.0"
    }
  }
}

provider "azurerm" {
  features {
    resource_group {
      # Volumes and load balancers that the cluster made for itself go with the group.
      prevent_deletion_if_contains_resources = false
    }
  }
  # Whoever may register all of them may do so for the whole subscription; those that are needed are in the README.
  resource_provider_registrations = "none"
}

data "azurerm_client_config" "this" {}

locals {
  machines     = { for node in local.nodes : node.name => node }
  size         = var.size != "" ? var.size : var.arch == "arm64" ? "Standard_D2ps_v5" : "Standard_D2s_v5"
  has_identity = var.cloud_provider == "external"
  endpoint     = azurerm_public_ip.node["control-plane"].ip_address

  # Names, not references: the machines, which the file is for, must not wait for what they do not need.
  cloud_conf = jsonencode({
    cloud                       = "AzurePublicCloud"
    tenantId                    = data.azurerm_client_config.this.tenant_id
    subscriptionId              = data.azurerm_client_config.this.subscription_id
    resourceGroup               = azurerm_resource_group.this.name
    location                    = var.location
    vmType                      = "standard"
    vnetName                    = "${var.name}-network"
    vnetResourceGroup           = azurerm_resource_group.this.name
    subnetName                  = "${var.name}-nodes"
    securityGroupName           = "${var.name}-nodes"
    routeTableName              = "${var.name}-pods"
    loadBalancerSku             = "standard"
    useInstanceMetadata         = true
    useManagedIdentityExtension = true
    userAssignedIdentityID      = try(azurerm_user_assigned_identity.nodes[0].client_id, "")
  })
}

resource "azurerm_resource_group" "this" {
  name     = var.name
  location = var.location
  tags     = var.tags
}

resource "azurerm_virtual_network" "this" {
  name                = "${var.name}-network"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  address_space       = [var.network_cidr]
  tags                = var.tags
}

resource "azurerm_subnet" "nodes" {
  name                 = "${var.name}-nodes"
  resource_group_name  = azurerm_resource_group.this.name
  virtual_network_name = azurerm_virtual_network.this.name
  address_prefixes     = [var.network_cidr]
}

# The fabric routes by a packet's destination, whatever machine it was handed to: so it must know where the pods are.
resource "azurerm_route_table" "pods" {
  name                = "${var.name}-pods"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = var.tags
}

resource "azurerm_route" "pods" {
  for_each               = local.machines
  name                   = each.key
  resource_group_name    = azurerm_resource_group.this.name
  route_table_name       = azurerm_route_table.pods.name
  address_prefix         = module.kubeadm.pod_cidrs[each.key]
  next_hop_type          = "VirtualAppliance"
  next_hop_in_ip_address = each.value.address
}

resource "azurerm_subnet_route_table_association" "nodes" {
  subnet_id      = azurerm_subnet.nodes.id
  route_table_id = azurerm_route_table.pods.id
}

resource "azurerm_network_security_group" "nodes" {
  name                = "${var.name}-nodes"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = var.tags
}

resource "azurerm_network_security_rule" "inside" {
  name                         = "inside"
  resource_group_name          = azurerm_resource_group.this.name
  network_security_group_name  = azurerm_network_security_group.nodes.name
  priority                     = 100
  direction                    = "Inbound"
  access                       = "Allow"
  protocol                     = "*"
  source_address_prefixes      = [var.network_cidr, var.pod_cidr]
  source_port_range            = "*"
  destination_address_prefixes = [var.network_cidr, var.pod_cidr]
  destination_port_range       = "*"
}

resource "azurerm_network_security_rule" "api" {
  name                        = "api"
  resource_group_name         = azurerm_resource_group.this.name
  network_security_group_name = azurerm_network_security_group.nodes.name
  priority                    = 110
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_address_prefixes     = var.allowed_cidrs
  source_port_range           = "*"
  destination_address_prefix  = local.nodes[0].address
  destination_port_range      = "6443"
}

resource "azurerm_subnet_network_security_group_association" "nodes" {
  subnet_id                 = azurerm_subnet.nodes.id
  network_security_group_id = azurerm_network_security_group.nodes.id
}

# The control plane's is the endpoint; without one of their own the workers would have no way out.
resource "azurerm_public_ip" "node" {
  for_each            = local.machines
  name                = "${var.name}-${each.key}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  allocation_method   = "Static"
  sku                 = "Standard"
  tags                = var.tags
}

resource "azurerm_network_interface" "node" {
  for_each              = local.machines
  name                  = "${var.name}-${each.key}"
  resource_group_name   = azurerm_resource_group.this.name
  location              = azurerm_resource_group.this.location
  ip_forwarding_enabled = true
  tags                  = var.tags

  ip_configuration {
    name                          = "node"
    subnet_id                     = azurerm_subnet.nodes.id
    private_ip_address_allocation = "Static"
    private_ip_address            = each.value.address
    public_ip_address_id          = azurerm_public_ip.node[each.key].id
  }
}

resource "azurerm_user_assigned_identity" "nodes" {
  count               = local.has_identity ? 1 : 0
  name                = "${var.name}-nodes"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = var.tags
}

resource "azurerm_role_assignment" "nodes" {
  count                = local.has_identity ? 1 : 0
  scope                = azurerm_resource_group.this.id
  role_definition_name = "Contributor"
  principal_id         = azurerm_user_assigned_identity.nodes[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_linux_virtual_machine" "node" {
  for_each              = local.machines
  name                  = "${var.name}-${each.key}"
  computer_name         = "${var.name}-${each.key}"
  resource_group_name   = azurerm_resource_group.this.name
  location              = azurerm_resource_group.this.location
  size                  = local.size
  network_interface_ids = [azurerm_network_interface.node[each.key].id]
  custom_data           = base64gzip(module.kubeadm.user_data[each.key])
  # Sizes from v6 on have no other, and it is not what Azure takes by itself.
  disk_controller_type = can(regex("_v([6-9]|[1-9][0-9])$", local.size)) ? "NVMe" : null
  tags                 = var.tags

  # Azure starts no Linux machine without a way to log in. Nobody is told this one, and port 22 is closed.
  admin_username                  = "crosscloud"
  admin_password                  = "Xc1!${sha256(var.bootstrap.ca.key)}"
  disable_password_authentication = false

  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "StandardSSD_LRS"
    disk_size_gb         = var.disk_gb
  }

  source_image_reference {
    publisher = "Canonical"
    offer     = "ubuntu-24_04-lts"
    sku       = var.arch == "arm64" ? "server-arm64" : "server"
    version   = "latest"
  }

  # The console is evidence when a node does not come up: Azure keeps it by itself.
  boot_diagnostics {}

  dynamic "identity" {
    for_each = azurerm_user_assigned_identity.nodes
    content {
      type         = "UserAssigned"
      identity_ids = [identity.value.id]
    }
  }

  # It talks to the other nodes at once.
  depends_on = [
    azurerm_subnet_network_security_group_association.nodes,
    azurerm_subnet_route_table_association.nodes,
    azurerm_network_security_rule.inside,
    azurerm_route.pods,
  ]
}
