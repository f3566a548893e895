# terraform test, without an account: the real provider checks what the module asks for, and answers with inventions.
# What a plan cannot do without is given here. tests/provision/test_validate.py runs it.

mock_provider "ibm" {}

run "plan" {
  command = plan

  assert {
    condition     = ibm_is_vpc.this.name == var.name
    error_message = "Names begin with the cluster's."
  }
}
