# Amazon Managed Grafana, with read-only access to Prometheus and CloudWatch.

resource "aws_grafana_workspace" "this" {
  count = var.managed_grafana_enabled ? 1 : 0

  name                     = var.name_prefix
  description              = "Dashboards of ${var.name_prefix}"
  account_access_type      = "CURRENT_ACCOUNT"
  authentication_providers = ["AWS_SSO"]
  permission_type          = "CUSTOMER_MANAGED"
  role_arn                 = aws_iam_role.grafana[0].arn
  data_sources             = ["PROMETHEUS", "CLOUDWATCH"]
}

# Only users and groups with a role can sign in.
resource "aws_grafana_role_association" "this" {
  for_each = var.managed_grafana_enabled ? var.grafana_access : {}

  workspace_id = aws_grafana_workspace.this[0].id
  role         = each.key
  group_ids    = each.value.group_ids
  user_ids     = each.value.user_ids
}

resource "aws_iam_role" "grafana" {
  count = var.managed_grafana_enabled ? 1 : 0

  name                 = "${var.name_prefix}-grafana"
  description          = "Reads the data of dashboards"
  assume_role_policy   = data.aws_iam_policy_document.grafana_trust[0].json
  permissions_boundary = local.boundary_arn
}

data "aws_iam_policy_document" "grafana_trust" {
  count = var.managed_grafana_enabled ? 1 : 0

  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["grafana.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

resource "aws_iam_role_policy" "grafana" {
  count = var.managed_grafana_enabled ? 1 : 0

  name   = "read-metrics"
  role   = aws_iam_role.grafana[0].id
  policy = data.aws_iam_policy_document.grafana[0].json
}

data "aws_iam_policy_document" "grafana" {
  # checkov:skip=CKV_AWS_356:CloudWatch metrics are not resources
  count = var.managed_grafana_enabled ? 1 : 0

  statement {
    sid       = "Prometheus"
    actions   = ["aps:QueryMetrics", "aps:GetLabels", "aps:GetSeries", "aps:GetMetricMetadata", "aps:DescribeWorkspace"]
    resources = [aws_prometheus_workspace.this[0].arn]
  }

  statement {
    sid       = "FindPrometheus"
    actions   = ["aps:ListWorkspaces"]
    resources = ["*"]
  }

  statement {
    sid       = "CloudWatch"
    actions   = ["cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData", "cloudwatch:ListMetrics"]
    resources = ["*"]
  }
}
