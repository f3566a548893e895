# A cluster of machines that are namespaces of this computer; see pytest_crosscloud/machine.

terraform {
  required_version = ">= 1.6"
}

locals {
  machine  = "${var.python} -m pytest_crosscloud.machine"
  endpoint = local.nodes[0].address
  # Machines of all clusters share this computer, so theirs are longer names than the nodes'.
  machines = { for index, node in local.nodes : "${var.name}.${index}" => node }
}

# What takes things down is a resource of its own, in the state before anything is brought up: terraform runs no destroy
# provisioner of a resource whose creation failed or was killed.
resource "terraform_data" "owned_network" {
  input = { machine = local.machine, name = var.name }

  provisioner "local-exec" {
    when    = destroy
    command = "${self.input.machine} network-down --name ${self.input.name}"
  }
}

resource "terraform_data" "network" {
  depends_on       = [terraform_data.owned_network]
  triggers_replace = [var.cidr]

  provisioner "local-exec" {
    command = "${local.machine} network-up --name ${var.name} --cidr ${var.cidr} --run ${var.run}"
  }
}

resource "terraform_data" "owned_machine" {
  for_each   = local.machines
  depends_on = [terraform_data.network]
  input      = { machine = local.machine, name = each.key }

  provisioner "local-exec" {
    when    = destroy
    command = "${self.input.machine} down --name ${self.input.name}"
  }
}

resource "terraform_data" "machine" {
  for_each   = local.machines
  depends_on = [terraform_data.owned_machine]

  provisioner "local-exec" {
    # By standard input: what it holds must not be in a process's title or on a disk longer than the machine.
    command = join(" ", compact([
      "printf '%s' \"$USER_DATA\" | ${local.machine} up --name ${each.key} --hostname ${each.value.name} --run ${var.run}",
      "--network ${var.name} --address ${each.value.address} --user-data /dev/stdin",
      var.disk == "" ? "" : "--disk-from ${var.disk}",
    ]))
    # Not sensitive to terraform, which would hide the command's output; environments are shown nowhere.
    environment = { USER_DATA = nonsensitive(module.kubeadm.user_data[each.value.name]) }
  }
}
