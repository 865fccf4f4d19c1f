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

resource "aws_iam_role_policy" "deploy" {
  for_each = var.github_repository == null ? {} : {
    images  = data.aws_iam_policy_document.images.json
    state   = data.aws_iam_policy_document.deploy_state.json
    service = data.aws_iam_policy_document.service.json
    iam     = data.aws_iam_policy_document.roles.json
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

data "aws_iam_policy_document" "deploy_state" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.state.arn]
  }

  statement {
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.state.arn}/service/*"]
  }
}

# What the service's resources are named after, name_prefix, is what the role is held to, wherever
# the action knows a resource.
data "aws_iam_policy_document" "service" {
  statement {
    sid = "ThisRegion"
    actions = [
      "acm:*Certificate", "acm:ListTagsForCertificate", "acm:AddTagsToCertificate", "acm:RemoveTagsFromCertificate",
      "application-autoscaling:*",
      "aps:*Workspace*", "aps:*RuleGroupsNamespace*", "aps:*AlertManagerDefinition*", "aps:ListTagsForResource", "aps:TagResource", "aps:UntagResource",
      "cloudwatch:*Alarm*", "cloudwatch:*Dashboard*", "cloudwatch:ListTagsForResource", "cloudwatch:TagResource", "cloudwatch:UntagResource",
      "codedeploy:*",
      "ec2:*Address*", "ec2:*FlowLogs", "ec2:*InternetGateway*", "ec2:*Route", "ec2:*RouteTable*", "ec2:*SecurityGroup*",
      "ec2:*Subnet*", "ec2:*Tags", "ec2:*Vpc", "ec2:*VpcAttribute", "ec2:*VpcEndpoint*", "ec2:*Vpcs", "ec2:DescribeAccountAttributes",
      "ec2:DescribeAvailabilityZones", "ec2:DescribeNetworkAcls", "ec2:DescribeNetworkInterfaces", "ec2:DescribePrefixLists", "ec2:DescribeManagedPrefixLists",
      "ecs:*Cluster*", "ecs:*Service*", "ecs:*TaskDefinition*", "ecs:ListTagsForResource", "ecs:TagResource", "ecs:UntagResource",
      "elasticloadbalancing:*",
      "grafana:*Workspace*", "grafana:ListTagsForResource", "grafana:TagResource", "grafana:UntagResource",
      "kms:*Alias*", "kms:CreateKey", "kms:Describe*", "kms:EnableKeyRotation", "kms:Get*", "kms:List*", "kms:PutKeyPolicy",
      "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource", "kms:CreateGrant", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey",
      "logs:*LogGroup*", "logs:*LogDelivery", "logs:*RetentionPolicy", "logs:*ResourcePolicies", "logs:PutResourcePolicy",
      "logs:ListTagsForResource", "logs:TagResource", "logs:UntagResource", "logs:AssociateKmsKey", "logs:*QueryDefinition*",
      "sns:*",
      "wafv2:*",
    ]
    resources = ["*"]
    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [var.region]
    }
  }

  statement {
    sid = "Keys"
    # GetParameter, because the provider looks at the parameter; it keeps nothing of the value.
    actions = [
      "ssm:AddTagsToResource", "ssm:DeleteParameter", "ssm:GetParameter", "ssm:ListTagsForResource",
      "ssm:PutParameter", "ssm:RemoveTagsFromResource",
    ]
    resources = ["arn:${local.partition}:ssm:${var.region}:${local.account_id}:parameter/zama/*"]
  }

  statement {
    sid       = "DescribeParameters"
    actions   = ["ssm:DescribeParameters"]
    resources = ["*"]
  }

  statement {
    sid       = "AccessLogs"
    actions   = ["s3:CreateBucket", "s3:DeleteBucket*", "s3:Get*", "s3:List*", "s3:PutBucket*", "s3:Put*Configuration"]
    resources = ["arn:${local.partition}:s3:::${var.name_prefix}-access-logs-*"]
  }

  statement {
    sid = "Names"
    actions = [
      "route53:ChangeResourceRecordSets", "route53:GetChange", "route53:GetHostedZone", "route53:ListResourceRecordSets",
    ]
    resources = ["arn:${local.partition}:route53:::hostedzone/*", "arn:${local.partition}:route53:::change/*"]
  }

  statement {
    sid = "Probe"
    actions = [
      "route53:ChangeTagsForResource", "route53:DeleteHealthCheck", "route53:GetHealthCheck", "route53:ListTagsForResource",
      "route53:UpdateHealthCheck",
    ]
    resources = ["arn:${local.partition}:route53:::healthcheck/*"]
  }

  # What is to be made has no name yet.
  statement {
    sid       = "MakeProbe"
    actions   = ["route53:CreateHealthCheck"]
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "roles" {
  statement {
    sid = "Roles"
    actions = [
      "iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetRole", "iam:GetRolePolicy",
      "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:ListRolePolicies", "iam:ListRoleTags",
      "iam:PutRolePolicy", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRoleDescription",
    ]
    resources = local.service_role_arns
  }

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

  statement {
    sid       = "ServiceLinkedRoles"
    actions   = ["iam:CreateServiceLinkedRole"]
    resources = ["arn:${local.partition}:iam::${local.account_id}:role/aws-service-role/*"]
    condition {
      test     = "StringEquals"
      variable = "iam:AWSServiceName"
      values   = ["ecs.amazonaws.com", "ecs.application-autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com", "wafv2.amazonaws.com"]
    }
  }
}

locals {
  # By name, not by prefix: the role must not be able to change itself.
  service_role_arns = [
    for name in ["codedeploy", "execution", "flow-logs", "grafana", "task"] :
    "arn:${local.partition}:iam::${local.account_id}:role/${var.name_prefix}-${name}"
  ]
}
