# terraform test, without an account: the real provider checks what the module asks for, and answers with inventions.
# What a plan cannot do without is given here. tests/provision/test_validate.py runs it.

mock_provider "azurerm" {
  mock_data "azurerm_client_config" {
    defaults = {
      subscription_id = "00000000-0000-0000-0000-000000000000"
      tenant_id       = "00000000-0000-0000-0000-000000000000"
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
