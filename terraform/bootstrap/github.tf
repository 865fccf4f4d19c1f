# GitHub's workflows need no stored credential: GitHub's token states a job's repository, and its
# environment or branch. Each role trusts one of them (roles.tf); this one, which applies, trusts the
# environment with the approval.

resource "aws_iam_openid_connect_provider" "github" {
  count = var.github_repository == null ? 0 : 1

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "deploy" {
  count = var.github_repository == null ? 0 : 1

  name                 = "${var.name_prefix}-deploy"
  description          = "Workflow of ${var.github_repository}: apply an approved plan"
  assume_role_policy   = data.aws_iam_policy_document.trust["environment:production"].json
  max_session_duration = 3600
}

data "aws_iam_policy_document" "trust" {
  for_each = var.github_repository == null ? [] : toset(["environment:production", "environment:drift", "ref:refs/heads/main"])

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
      values   = ["repo:${local.subject}:${each.value}"]
    }
  }
}

locals {
  # GitHub adds the ids for repositories created, renamed or transferred since 2026-07-15, so that a
  # new owner of an old name gets nothing.
  # https://github.com/aws-actions/configure-aws-credentials/issues/1888
  subject = (
    var.github_repository == null ? null :
    var.github_ids == null ? var.github_repository :
    replace("${var.github_repository}@${var.github_ids.repository}", "/", "@${var.github_ids.owner}/")
  )
}

# --- Permissions for Terraform --------------------------------------------------------------------

# `make permissions` records Terraform's calls; the resources that they are allowed on are defined
# here. Named resources are limited by name_prefix, all others by region. Nothing here allows
# changes to this role, its policies, the provider above or the boundary.

locals {
  known   = jsondecode(file("${path.module}/actions.json"))
  actions = toset(flatten(values(local.known)))

  # Services whose resources have ids instead of names.
  by_id = ["acm", "application-autoscaling", "aps", "ec2", "grafana", "kms"]

  # For each policy, the services with named resources, and the names.
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
      # Route 53 is global and uses ids, so neither name nor region can limit it. Records are limited
      # to the zone of the domain, below.
      route53 = ["*"]
      s3      = ["arn:${local.partition}:s3:::${var.name_prefix}-access-logs-${local.account_id}-${var.region}"]
      # WAF also checks permissions on referenced rule sets and on the protected resource.
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
        # Route 53 publishes the probe's metrics only there.
        "arn:${local.partition}:cloudwatch:us-east-1:${local.account_id}:alarm:${var.name_prefix}-*",
        "arn:${local.partition}:cloudwatch::${local.account_id}:dashboard/${var.name_prefix}",
      ]
      logs = flatten([
        for group in ["/ecs/${var.name_prefix}", "/vpc/${var.name_prefix}", "aws-waf-logs-${var.name_prefix}"] :
        ["${local.arns.logs}:log-group:${group}", "${local.arns.logs}:log-group:${group}:*"]
      ])
      events = ["${local.arns.events}:rule/${var.name_prefix}-deployments"]
      sns = [
        "${local.arns.sns}:${var.name_prefix}-alarms-*",
        "arn:${local.partition}:sns:us-east-1:${local.account_id}:${var.name_prefix}-alarms-*",
      ]
    }
  }

  # Actions of these services that do not support resources, like most Describe actions.
  nameless = [
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
    "cloudwatch:PutCompositeAlarm",
    "ecs:DeregisterTaskDefinition", "ecs:RegisterTaskDefinition",
    "logs:DeleteQueryDefinition", "logs:PutQueryDefinition",
    "sns:GetSubscriptionAttributes", "sns:Unsubscribe",
  ]

  # Actions that create or change a role and support the boundary condition.
  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
  bounded = setintersection(local.actions, [
    "iam:AttachRolePolicy", "iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy",
  ])

  # Actions that end something that has an id, or give it to others, and support tags as a condition.
  # The service's resources have the tag; use another account, or another value of it, for others.
  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
  tagged = setunion(
    [for action in local.actions : action if startswith(action, "ec2:Delete")],
    setintersection(local.actions, ["kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:UntagResource"]),
  )
  in_zone = setintersection(local.actions, ["route53:ChangeResourceRecordSets"])

  in_region = sort([
    for action in setsubtract(local.actions, local.tagged) : action
    if contains(local.by_id, split(":", action)[0])
    || contains(local.nameless, action)
    || strcontains(action, ":Describe") && !startswith(action, "ecr:")
  ])

  # By policy and service.
  on_names = {
    for policy, services in local.by_name : policy => {
      for service in keys(services) :
      service => sort([
        for action in setsubtract(local.actions, setunion(local.in_region, local.tagged, local.bounded, local.in_zone)) : action
        if startswith(action, "${service}:")
      ])
    }
  }

  arns = {
    for service in ["aps", "cloudwatch", "codedeploy", "ecs", "elasticloadbalancing", "events", "logs", "sns", "ssm", "wafv2"] :
    service => "arn:${local.partition}:${service}:${var.region}:${local.account_id}"
  }
  load_balancer_arn = "${local.arns.elasticloadbalancing}:loadbalancer/app/${var.name_prefix}/*"
  parameter_arn     = "${local.arns.ssm}:parameter/zama/*"

  # Exact names, because a prefix would include this role.
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

  statement {
    actions   = local.tagged
    resources = ["*"]
    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [var.region]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/Service"
      values   = [var.name_prefix]
    }
  }

  dynamic "statement" {
    for_each = var.zone_id[*]

    content {
      actions   = local.in_zone
      resources = ["arn:${local.partition}:route53:::hostedzone/${statement.value}"]
    }
  }

  # The alarm on the probe (../probe.tf).
  statement {
    actions   = setintersection(local.in_region, ["cloudwatch:DescribeAlarms", "sns:GetSubscriptionAttributes", "sns:Unsubscribe"])
    resources = ["*"]
    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = ["us-east-1"]
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

# Without the boundary, this role could give a role of the service every permission and assume it.
# It can set only this boundary, and cannot remove it.
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

# Managed policies, because a role's inline policies are limited to 10,240 characters in total; a
# managed policy may have 6,144.
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

# --- Other permissions ----------------------------------------------------------------------------

resource "aws_iam_role_policy" "deploy" {
  for_each = var.github_repository == null ? {} : {
    images   = data.aws_iam_policy_document.tag_images.minified_json
    state    = data.aws_iam_policy_document.deploy_state.minified_json
    demanded = data.aws_iam_policy_document.demanded.minified_json
    shift    = data.aws_iam_policy_document.shift.minified_json
  }

  name   = each.key
  role   = aws_iam_role.deploy[0].id
  policy = each.value
}

# To verify signatures, and to tag an existing image; without uploads, there are no other images.
data "aws_iam_policy_document" "tag_images" {
  source_policy_documents = [data.aws_iam_policy_document.pull_images.json]

  statement {
    sid       = "Tag"
    actions   = ["ecr:PutImage"]
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

  # The role may delete the lock, but not the state.
  statement {
    sid       = "Unlock"
    actions   = ["s3:DeleteObject"]
    resources = ["${aws_s3_bucket.state.arn}/service/*.tflock"]
  }
}

# CodeDeploy deployments are not Terraform resources (docs/deploy.md).
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscodedeploy.html
data "aws_iam_policy_document" "shift" {
  statement {
    actions = [
      "codedeploy:CreateDeployment", "codedeploy:GetApplicationRevision", "codedeploy:GetDeployment",
      "codedeploy:GetDeploymentConfig", "codedeploy:ListDeployments", "codedeploy:RegisterApplicationRevision",
    ]
    resources = concat(local.by_name.tasks.codedeploy, ["${local.arns.codedeploy}:deploymentconfig:*"])
  }

  # They support no resources.
  statement {
    actions   = ["codedeploy:ContinueDeployment", "codedeploy:StopDeployment"]
    resources = ["*"]
  }
}

# Permissions that AWS checks in addition to the call itself. The emulator checks most of them
# (../../emulator/src/zama_emulator/needs.py).
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

  # The first use of one of these services in an account creates its role.
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

  # Attaching a firewall to the load balancer, and reading which one it has, needs these permissions.
  # https://docs.aws.amazon.com/waf/latest/developerguide/security_iam_service-with-iam.html#security_iam_action-additions
  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awswafv2.html
  statement {
    sid = "Firewall"
    actions = [
      "elasticloadbalancing:CreateWebACLAssociation", "elasticloadbalancing:DeleteWebACLAssociation",
      "elasticloadbalancing:GetLoadBalancerWebACL", "elasticloadbalancing:SetWebACL",
    ]
    resources = [local.load_balancer_arn]
  }

  # The services use the key: SSM for the parameter, and Prometheus for the workspace, through a
  # grant.
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

  # The firewall delivers its log to a log group, whose resource policy must allow it.
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

  # Creating a load balancer looks up addresses and security groups.
  # https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-permissions.html
  statement {
    sid       = "Addresses"
    actions   = ["ec2:DescribeAccountAttributes", "ec2:DescribeAddresses", "ec2:GetSecurityGroupsForVpc"]
    resources = ["*"]
    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [var.region]
    }
  }

  # Private DNS of endpoints uses hosted zones that AWS owns.
  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
  statement {
    sid       = "NamesOfEndpoints"
    actions   = ["route53:AssociateVPCWithHostedZone"]
    resources = ["arn:${local.partition}:route53:::hostedzone/*"]
  }

  # A Grafana workspace becomes an application of the account's single sign-on.
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
