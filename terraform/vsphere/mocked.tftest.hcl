# terraform test, without an account: the real provider checks what the module asks for, and answers with inventions.
# What a plan cannot do without is given here. tests/provision/test_validate.py runs it.

mock_provider "vsphere" {
  mock_data "vsphere_virtual_machine" {
    defaults = {
      id                      = "4223b3a4-0000-0000-0000-000000000000"
      guest_id                = "ubuntu64Guest"
      firmware                = "efi"
      scsi_type               = "pvscsi"
      network_interface_types = ["vmxnet3"]
      disks                   = [{ size = 10, thin_provisioned = true, eagerly_scrub = false }]
    }
  }
}

run "plan" {
  command = plan

  assert {
    condition     = [for node in output.nodes : node.name] == ["control-plane", "worker-1"]
    error_message = "A control plane and a worker, as in every module."
  }

  assert {
    condition     = output.kubeconfig == null
    error_message = "The KUBECONFIG is made from the bootstrap's CA."
  }
}
