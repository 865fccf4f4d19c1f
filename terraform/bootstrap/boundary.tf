# The permissions boundary of the service's roles: they have no permission that is not listed here,
# whatever their own policies say. The workflows' role writes those policies (github.tf) but cannot
# change this one, so it cannot use a role to become an administrator.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html

# The service's Terraform uses the same name (../iam.tf).
resource "aws_iam_policy" "boundary" {
  name        = "${var.name_prefix}-boundary"
  description = "Maximum permissions of the roles of ${var.name_prefix}"
  policy      = data.aws_iam_policy_document.boundary.minified_json
}

data "aws_iam_policy_document" "boundary" {
  # checkov:skip=CKV_AWS_356:Actions of the last statement do not support resources, or only read metrics
  # --- Execution: start a task ---

  statement {
    sid       = "ReadKeys"
    actions   = ["ssm:GetParameters"]
    resources = [local.parameter_arn]
  }

  statement {
    sid       = "DecryptKeys"
    actions   = ["kms:Decrypt"]
    resources = ["arn:${local.partition}:kms:${var.region}:${local.account_id}:key/*"]
    # https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
    condition {
      test     = "StringLike"
      variable = "kms:EncryptionContext:PARAMETER_ARN"
      values   = [local.parameter_arn]
    }
  }

  statement {
    sid       = "PullImages"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = values(aws_ecr_repository.this)[*].arn
  }

  # This includes the flow logs.
  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = [for kind in ["ecs", "vpc"] : "${local.arns.logs}:log-group:/${kind}/${var.name_prefix}:*"]
  }

  # --- Task: write metrics; Grafana: read them ---

  statement {
    sid = "Prometheus"
    actions = [
      "aps:DescribeWorkspace", "aps:GetLabels", "aps:GetMetricMetadata", "aps:GetSeries", "aps:QueryMetrics",
      "aps:RemoteWrite",
    ]
    # Workspaces have ids instead of names.
    resources = ["${local.arns.aps}:workspace/*"]
  }

  # --- CodeDeploy: shift traffic ---

  statement {
    sid     = "TaskSets"
    actions = ["ecs:DeleteTaskSet", "ecs:DescribeServices", "ecs:UpdateServicePrimaryTaskSet"]
    resources = [
      "${local.arns.ecs}:service/${var.name_prefix}/${var.name_prefix}",
      "${local.arns.ecs}:task-set/${var.name_prefix}/${var.name_prefix}/*",
    ]
  }

  # A new task set has no name yet, so the condition limits it to this cluster.
  statement {
    sid       = "MakeTaskSets"
    actions   = ["ecs:CreateTaskSet"]
    resources = ["*"]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = ["${local.arns.ecs}:cluster/${var.name_prefix}"]
    }
  }

  statement {
    sid       = "Shift"
    actions   = ["elasticloadbalancing:ModifyListener"]
    resources = ["${local.arns.elasticloadbalancing}:listener/app/${var.name_prefix}/*"]
  }

  # The only IAM permission: pass two roles, which have this boundary as well, to tasks.
  statement {
    sid     = "StartTasks"
    actions = ["iam:PassRole"]
    resources = [
      for name in ["execution", "task"] : "arn:${local.partition}:iam::${local.account_id}:role/${var.name_prefix}-${name}"
    ]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }

  # --- Actions without resource names ---

  statement {
    sid = "LogInAndRead"
    actions = [
      "aps:ListWorkspaces",
      "cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData", "cloudwatch:ListMetrics",
      "ecr:GetAuthorizationToken",
      "elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeRules", "elasticloadbalancing:DescribeTargetGroups",
    ]
    resources = ["*"]
  }
}
