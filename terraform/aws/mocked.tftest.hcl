# terraform test, without an account: the real provider checks what the module asks for, and answers with inventions.
# What a plan cannot do without is given here. tests/provision/test_validate.py runs it.

mock_provider "aws" {
  mock_data "aws_ec2_instance_type_offerings" {
    defaults = {
      locations = ["eu-central-1a"]
    }
  }

  mock_data "aws_ami" {
    defaults = {
      id = "ami-0123456789abcdef0"
    }
  }

  mock_resource "aws_vpc" {
    defaults = {
      arn = "arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-0123456789abcdef0"
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

  assert {
    condition     = length(aws_iam_role.controllers) == 0 && length(aws_iam_instance_profile.controllers) == 0
    error_message = "No controller runs, and no node has rights."
  }
}

run "controllers" {
  variables {
    cloud_provider = "external"
  }

  assert {
    condition     = [for name, node in aws_instance.node : name if node.iam_instance_profile == "${var.name}-cp"] == ["control-plane"]
    error_message = "Controllers run on the control plane."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.controllers[0].policy).Statement :
      can(statement.Condition) || alltrue([for action in flatten([statement.Action]) : can(regex(":Describe", action))])
    ])
    error_message = "What changes anything is for the cluster's own things only."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.controllers[0].policy).Statement[0].Condition.StringEquals == { "aws:RequestTag/kubernetes.io/cluster/${var.name}" = "owned" }
    error_message = "The cluster's own things are those with its tag."
  }
}

run "a_profile_of_ones_own" {
  command = plan

  variables {
    cloud_provider   = "external"
    instance_profile = "nodes"
  }

  assert {
    condition = length(aws_iam_role.controllers) == 0 && alltrue([
      for node in aws_instance.node : node.iam_instance_profile == "nodes"
    ])
    error_message = "The profile that is there is all nodes'."
  }
}
