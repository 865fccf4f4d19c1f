# GitHub's workflows come without a stored credential: GitHub vouches for which repository, branch or
# environment a job belongs to, and the role trusts two of them.

resource "aws_iam_openid_connect_provider" "github" {
  count = var.github_repository == null ? 0 : 1

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "deploy" {
  count = var.github_repository == null ? 0 : 1

  name                 = "${var.name_prefix}-deploy"
  description          = "Workflows of ${var.github_repository}: push images, plan and apply"
  assume_role_policy   = data.aws_iam_policy_document.deploy_trust[0].json
  max_session_duration = 3600
}

data "aws_iam_policy_document" "deploy_trust" {
  count = var.github_repository == null ? 0 : 1

  # https://docs.github.com/en/actions/security-for-github-actions/security-hardening-your-deployments/configuring-openid-connect-in-amazon-web-services
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.github[0].arn]
    }
    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values = [
        "repo:${var.github_repository}:ref:refs/heads/main",
        "repo:${var.github_repository}:environment:production",
      ]
    }
  }
}

# --- What it may do -------------------------------------------------------------------------------

# Terraform's calls are observed (`make permissions`), and here stands on what they are allowed. What
# has a name is held to name_prefix, the rest to the region. Nothing here reaches this role itself,
# its policies, the provider above or the boundary of the service's roles.

locals {
  actions = toset(flatten(values(jsondecode(file("${path.module}/actions.json")))))

  # Services that call what they make by ids.
  by_id = ["acm", "application-autoscaling", "aps", "ec2", "grafana", "kms"]

  # For each policy the services whose resources have names, and the names.
  # https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
  by_name = {
    tasks = {
      codedeploy = [
        "${local.arns.codedeploy}:application:${var.name_prefix}",
        "${local.arns.codedeploy}:deploymentgroup:${var.name_prefix}/${var.name_prefix}",
      ]
      ecr = values(aws_ecr_repository.this)[*].arn
      ecs = [
        "${local.arns.ecs}:cluster/${var.name_prefix}",
        "${local.arns.ecs}:service/${var.name_prefix}/${var.name_prefix}",
        "${local.arns.ecs}:task-definition/${var.name_prefix}:*",
      ]
      iam = local.service_role_arns
      ssm = [local.parameter_arn]
    }

    traffic = {
      elasticloadbalancing = [
        local.load_balancer_arn,
        "${local.arns.elasticloadbalancing}:listener/app/${var.name_prefix}/*",
        "${local.arns.elasticloadbalancing}:targetgroup/${var.name_prefix}-*",
      ]
      # Ids, too, and of the whole world: neither name nor region tells them apart.
      route53 = ["*"]
      s3      = ["arn:${local.partition}:s3:::${var.name_prefix}-access-logs-${local.account_id}-${var.region}"]
      # What rules refer to is asked for as well, and what is protected.
      wafv2 = [
        "${local.arns.wafv2}:regional/webacl/${var.name_prefix}/*",
        "${local.arns.wafv2}:regional/ipset/${var.name_prefix}-*",
        "${local.arns.wafv2}:regional/managedruleset/*",
        local.load_balancer_arn,
      ]
    }

    watching = {
      cloudwatch = [
        "${local.arns.cloudwatch}:alarm:${var.name_prefix}-*",
        "arn:${local.partition}:cloudwatch::${local.account_id}:dashboard/${var.name_prefix}",
      ]
      logs = flatten([
        for group in ["/ecs/${var.name_prefix}", "/vpc/${var.name_prefix}", "aws-waf-logs-${var.name_prefix}"] :
        ["${local.arns.logs}:log-group:${group}", "${local.arns.logs}:log-group:${group}:*"]
      ])
      sns = ["${local.arns.sns}:${var.name_prefix}-alarms"]
    }
  }

  # Actions of these services that know no resource all the same, as most that describe.
  nameless = [
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
    "cloudwatch:PutCompositeAlarm",
    "ecs:DeregisterTaskDefinition", "ecs:RegisterTaskDefinition",
    "logs:DeleteQueryDefinition", "logs:PutQueryDefinition",
    "sns:GetSubscriptionAttributes", "sns:Unsubscribe",
  ]

  # Actions that make a role or say what it may do, as far as they know the condition.
  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
  bounded = setintersection(local.actions, [
    "iam:AttachRolePolicy", "iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy",
  ])

  in_region = sort([
    for action in local.actions : action
    if contains(local.by_id, split(":", action)[0])
    || contains(local.nameless, action)
    || strcontains(action, ":Describe") && !startswith(action, "ecr:")
  ])

  # By policy and service.
  on_names = {
    for policy, services in local.by_name : policy => {
      for service in keys(services) :
      service => sort([
        for action in setsubtract(local.actions, setunion(local.in_region, local.bounded)) : action
        if startswith(action, "${service}:")
      ])
    }
  }

  arns = {
    for service in ["aps", "cloudwatch", "codedeploy", "ecs", "elasticloadbalancing", "logs", "sns", "ssm", "wafv2"] :
    service => "arn:${local.partition}:${service}:${var.region}:${local.account_id}"
  }
  load_balancer_arn = "${local.arns.elasticloadbalancing}:loadbalancer/app/${var.name_prefix}/*"
  parameter_arn     = "${local.arns.ssm}:parameter/zama/*"

  # By name, not by prefix: the role's own name has the prefix, too.
  service_role_arns = [
    for name in ["codedeploy", "execution", "flow-logs", "grafana", "task"] :
    "arn:${local.partition}:iam::${local.account_id}:role/${var.name_prefix}-${name}"
  ]
}

data "aws_iam_policy_document" "in_region" {
  statement {
    actions   = local.in_region
    resources = ["*"]
    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [var.region]
    }
  }
}

data "aws_iam_policy_document" "on_names" {
  for_each = local.by_name

  dynamic "statement" {
    for_each = each.value

    content {
      sid       = title(statement.key)
      actions   = local.on_names[each.key][statement.key]
      resources = statement.value
    }
  }
}

# Else this role could give one of the service's everything and, as it also says who may take it, take
# it. A boundary can be put here, but not taken off, nor be another.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html#access_policies_boundaries-delegate
data "aws_iam_policy_document" "bounded" {
  statement {
    actions   = local.bounded
    resources = local.service_role_arns
    condition {
      test     = "StringEquals"
      variable = "iam:PermissionsBoundary"
      values   = [aws_iam_policy.boundary.arn]
    }
  }
}

# Managed, because all that is in a role itself may have 10,240 characters; each of these 6,144.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
resource "aws_iam_policy" "deploy" {
  for_each = var.github_repository == null ? {} : merge(
    {
      region = data.aws_iam_policy_document.in_region.minified_json
      roles  = data.aws_iam_policy_document.bounded.minified_json
    },
    { for name, document in data.aws_iam_policy_document.on_names : name => document.minified_json },
  )

  name        = "${var.name_prefix}-deploy-${each.key}"
  description = "Terraform's calls: ${each.key}"
  policy      = each.value
}

resource "aws_iam_role_policy_attachment" "deploy" {
  for_each = aws_iam_policy.deploy

  role       = aws_iam_role.deploy[0].name
  policy_arn = each.value.arn
}

# --- What else it may do --------------------------------------------------------------------------

resource "aws_iam_role_policy" "deploy" {
  for_each = var.github_repository == null ? {} : {
    images   = data.aws_iam_policy_document.images.minified_json
    state    = data.aws_iam_policy_document.deploy_state.minified_json
    demanded = data.aws_iam_policy_document.demanded.minified_json
    shift    = data.aws_iam_policy_document.shift.minified_json
  }

  name   = each.key
  role   = aws_iam_role.deploy[0].id
  policy = each.value
}

data "aws_iam_policy_document" "images" {
  statement {
    sid       = "LogIn"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid = "Push"
    actions = [
      "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
      "ecr:DescribeImageScanFindings", "ecr:DescribeRepositories", "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload", "ecr:ListTagsForResource", "ecr:PutImage", "ecr:UploadLayerPart",
    ]
    resources = values(aws_ecr_repository.this)[*].arn
  }
}

# https://developer.hashicorp.com/terraform/language/backend/s3#permissions-required
data "aws_iam_policy_document" "deploy_state" {
  statement {
    sid       = "Find"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.state.arn]
  }

  statement {
    sid       = "ReadAndWrite"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.state.arn}/service/*"]
  }

  # A state is not deleted, its lock is.
  statement {
    sid       = "Unlock"
    actions   = ["s3:DeleteObject"]
    resources = ["${aws_s3_bucket.state.arn}/service/*.tflock"]
  }
}

# CodeDeploy's part of a deployment, which is no resource of Terraform's (README.md).
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscodedeploy.html
data "aws_iam_policy_document" "shift" {
  statement {
    actions = [
      "codedeploy:CreateDeployment", "codedeploy:GetApplicationRevision", "codedeploy:GetDeployment",
      "codedeploy:GetDeploymentConfig", "codedeploy:RegisterApplicationRevision",
    ]
    resources = concat(local.by_name.tasks.codedeploy, ["${local.arns.codedeploy}:deploymentconfig:*"])
  }
}

# What AWS asks for beside the call that was made, and the emulator does not.
data "aws_iam_policy_document" "demanded" {
  # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
  statement {
    sid       = "PassRoles"
    actions   = ["iam:PassRole"]
    resources = local.service_role_arns
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["codedeploy.amazonaws.com", "ecs-tasks.amazonaws.com", "grafana.amazonaws.com", "vpc-flow-logs.amazonaws.com"]
    }
  }

  # Whoever is first in an account to use such a service makes its role.
  # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create-service-linked-role.html
  statement {
    sid       = "ServiceLinkedRoles"
    actions   = ["iam:CreateServiceLinkedRole"]
    resources = ["arn:${local.partition}:iam::${local.account_id}:role/aws-service-role/*"]
    condition {
      test     = "StringEquals"
      variable = "iam:AWSServiceName"
      values = [
        "ecs.amazonaws.com", "ecs.application-autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com",
        "grafana.amazonaws.com", "wafv2.amazonaws.com",
      ]
    }
  }

  # A load balancer is given a firewall.
  # https://docs.aws.amazon.com/waf/latest/developerguide/security_iam_service-with-iam.html#security_iam_action-additions
  statement {
    sid       = "Firewall"
    actions   = ["elasticloadbalancing:SetWebACL"]
    resources = [local.load_balancer_arn]
  }

  # Each service has a key used for it: for the parameter, and for the workspace, which is then granted
  # its use.
  # https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
  # https://docs.aws.amazon.com/prometheus/latest/userguide/encryption-at-rest-Amazon-Service-Prometheus.html
  statement {
    sid       = "Key"
    actions   = ["kms:CreateGrant", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
    resources = ["arn:${local.partition}:kms:${var.region}:${local.account_id}:key/*"]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["aps.${var.region}.amazonaws.com", "ssm.${var.region}.amazonaws.com"]
    }
  }

  # The firewall delivers its log to a log group, whose policy must then say so.
  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-infrastructure-CWL.html
  statement {
    sid       = "DeliverLogs"
    actions   = ["logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeResourcePolicies", "logs:PutResourcePolicy"]
    resources = ["*"]
    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [var.region]
    }
  }

  # A load balancer looks where it is to be.
  # https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-permissions.html
  statement {
    sid       = "Addresses"
    actions   = ["ec2:DescribeAccountAttributes", "ec2:DescribeAddresses"]
    resources = ["*"]
    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [var.region]
    }
  }

  # Endpoints answer under the services' usual names, in zones that are AWS's.
  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
  statement {
    sid       = "NamesOfEndpoints"
    actions   = ["route53:AssociateVPCWithHostedZone"]
    resources = ["arn:${local.partition}:route53:::hostedzone/*"]
  }

  # Grafana's workspace becomes an application of the account's single sign-on.
  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonmanagedgrafana.html
  statement {
    sid = "SignOn"
    actions = [
      "organizations:DescribeOrganization", "sso:CreateManagedApplicationInstance", "sso:DeleteManagedApplicationInstance",
      "sso:DescribeRegisteredRegions", "sso:GetSharedSsoConfiguration",
    ]
    resources = ["*"]
  }
}
