# What the cloud's controllers may do, which run on the control plane. Where none will be installed no node has a role.

locals {
  controllers = var.instance_profile == "" && var.cloud_provider == "external"

  # IAM lists by path, and not by tag.
  iam_path = "/crosscloud/${lookup(var.tags, "crosscloud-run", "none")}/"

  arn = "arn:${split(":", aws_vpc.this.arn)[1]}" # aws, aws-cn, aws-us-gov

  # Condition keys that say whether something is this cluster's, or asked for as such.
  is_ours   = { StringEquals = { for key, value in local.cluster_tag : "aws:ResourceTag/${key}" => value } }
  made_ours = { StringEquals = { for key, value in local.cluster_tag : "aws:RequestTag/${key}" => value } }

  # What may be made, as this cluster's only.
  made = {
    "ec2:CreateSecurityGroup"                 = "ec2:*:*:security-group/*"
    "ec2:CreateSnapshot"                      = "ec2:*:*:snapshot/*"
    "ec2:CreateVolume"                        = "ec2:*:*:volume/*"
    "elasticloadbalancing:CreateLoadBalancer" = "elasticloadbalancing:*:*:loadbalancer/*"
    "elasticloadbalancing:CreateTargetGroup"  = "elasticloadbalancing:*:*:targetgroup/*"
  }

  # cloud-provider-aws, docs/prerequisites.md; aws-ebs-csi-driver, docs/example-iam-policy.json; with conditions
  rights = concat([for action, resource in local.made : {
    Effect    = "Allow"
    Action    = action
    Resource  = "${local.arn}:${resource}"
    Condition = local.made_ours
    }], [
    {
      Sid    = "Look"
      Effect = "Allow"
      Action = [
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:DescribeLaunchConfigurations",
        "autoscaling:DescribeTags",
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeInstanceTopology",
        "ec2:DescribeInstances",
        "ec2:DescribeRegions",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSnapshots",
        "ec2:DescribeSubnets",
        "ec2:DescribeTags",
        "ec2:DescribeVolumes",
        "ec2:DescribeVolumesModifications",
        "ec2:DescribeVpcs",
        "elasticloadbalancing:DescribeListeners",
        "elasticloadbalancing:DescribeLoadBalancerAttributes",
        "elasticloadbalancing:DescribeLoadBalancerPolicies",
        "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
      ]
      Resource = "*"
    },
    {
      Sid    = "ChangeWhatIsTheClusters"
      Effect = "Allow"
      Action = [
        "ec2:AttachVolume",
        "ec2:AuthorizeSecurityGroupIngress",
        "ec2:CreateRoute",
        "ec2:CreateTags",
        "ec2:DeleteRoute",
        "ec2:DeleteSecurityGroup",
        "ec2:DeleteSnapshot",
        "ec2:DeleteTags",
        "ec2:DeleteVolume",
        "ec2:DetachVolume",
        "ec2:ModifyInstanceAttribute",
        "ec2:ModifyVolume",
        "ec2:RevokeSecurityGroupIngress",
        "elasticloadbalancing:AddTags",
        "elasticloadbalancing:ApplySecurityGroupsToLoadBalancer",
        "elasticloadbalancing:AttachLoadBalancerToSubnets",
        "elasticloadbalancing:ConfigureHealthCheck",
        "elasticloadbalancing:CreateListener",
        "elasticloadbalancing:CreateLoadBalancerListeners",
        "elasticloadbalancing:CreateLoadBalancerPolicy",
        "elasticloadbalancing:DeleteListener",
        "elasticloadbalancing:DeleteLoadBalancer",
        "elasticloadbalancing:DeleteLoadBalancerListeners",
        "elasticloadbalancing:DeleteTargetGroup",
        "elasticloadbalancing:DeregisterInstancesFromLoadBalancer",
        "elasticloadbalancing:DeregisterTargets",
        "elasticloadbalancing:DetachLoadBalancerFromSubnets",
        "elasticloadbalancing:ModifyListener",
        "elasticloadbalancing:ModifyLoadBalancerAttributes",
        "elasticloadbalancing:ModifyTargetGroup",
        "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
        "elasticloadbalancing:RegisterTargets",
        "elasticloadbalancing:SetLoadBalancerPoliciesForBackendServer",
        "elasticloadbalancing:SetLoadBalancerPoliciesOfListener",
      ]
      Resource  = "*"
      Condition = local.is_ours
    },
    {
      Sid       = "MakeThemOfTheClusters" # a group in its network, a snapshot of its volume, a volume of its snapshot
      Effect    = "Allow"
      Action    = ["ec2:CreateSecurityGroup", "ec2:CreateSnapshot", "ec2:CreateVolume"]
      Resource  = ["${local.arn}:ec2:*:*:snapshot/*", "${local.arn}:ec2:*:*:volume/*", "${local.arn}:ec2:*:*:vpc/*"]
      Condition = local.is_ours
    },
    {
      Sid       = "TagWhatIsMade"
      Effect    = "Allow"
      Action    = "ec2:CreateTags"
      Resource  = "${local.arn}:ec2:*:*:*/*"
      Condition = { StringEquals = { "ec2:CreateAction" = ["CreateSecurityGroup", "CreateSnapshot", "CreateVolume"] } }
    },
    {
      Sid       = "TagLoadBalancersThatAreMade"
      Effect    = "Allow"
      Action    = "elasticloadbalancing:AddTags"
      Resource  = "*"
      Condition = { StringEquals = { "elasticloadbalancing:CreateAction" = ["CreateLoadBalancer", "CreateTargetGroup"] } }
    },
  ])
}

resource "aws_iam_role" "controllers" {
  count                = local.controllers ? 1 : 0
  name                 = "${var.name}-cp" # 64 characters at most
  path                 = local.iam_path
  permissions_boundary = var.permissions_boundary

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "controllers" {
  count  = length(aws_iam_role.controllers)
  name   = aws_iam_role.controllers[0].name
  role   = aws_iam_role.controllers[0].id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.rights })
}

resource "aws_iam_instance_profile" "controllers" {
  count = length(aws_iam_role.controllers)
  name  = aws_iam_role.controllers[0].name
  path  = local.iam_path
  role  = aws_iam_role.controllers[0].name
}
