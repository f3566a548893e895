# terraform test, without an account: the real provider checks what the module asks for, and answers with inventions.
# What a plan cannot do without is given here. tests/provision/test_validate.py runs it.

mock_provider "oci" {
  mock_data "oci_identity_availability_domains" {
    defaults = {
      availability_domains = [{ name = "Uocm:EU-FRANKFURT-1-AD-1" }]
    }
  }

  mock_data "oci_core_images" {
    defaults = {
      images = [{ id = "ocid1.image.oc1..a" }]
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
