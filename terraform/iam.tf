# Two roles: ECS uses the execution role to start tasks, and the containers use the task role.

locals {
  # The boundary of all the service's roles. bootstrap/ creates it, because the workflows' role must
  # not change it.
  boundary_arn = "arn:${local.partition}:iam::${local.account_id}:policy/${var.name_prefix}-boundary"

  repository_arns = concat(
    values(data.aws_ecr_repository.this)[*].arn,
    data.aws_ecr_repository.collector[*].arn,
  )
}

data "aws_iam_policy_document" "tasks_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:ecs:${var.region}:${local.account_id}:*"]
    }
  }
}

# --- Execution ------------------------------------------------------------------------------------

resource "aws_iam_role" "execution" {
  name                 = "${var.name_prefix}-execution"
  description          = "Starts tasks: pulls their images, reads the keys, writes their logs"
  assume_role_policy   = data.aws_iam_policy_document.tasks_trust.json
  permissions_boundary = local.boundary_arn
}

resource "aws_iam_role_policy" "execution" {
  name   = "start-tasks"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "ReadKeys"
    actions   = ["ssm:GetParameters"]
    resources = [aws_ssm_parameter.api_keys.arn]
  }

  dynamic "statement" {
    for_each = aws_kms_key.this

    content {
      sid       = "DecryptKeys"
      actions   = ["kms:Decrypt"]
      resources = [statement.value.arn]
      # The key also encrypts the logs, which this role must not read.
      # https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
      condition {
        test     = "StringEquals"
        variable = "kms:EncryptionContext:PARAMETER_ARN"
        values   = [aws_ssm_parameter.api_keys.arn]
      }
    }
  }

  statement {
    sid       = "PullImages"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = local.repository_arns
  }

  statement {
    sid       = "LogInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
}

# --- Task -----------------------------------------------------------------------------------------

# The service itself makes no AWS calls; the collector writes metrics.
resource "aws_iam_role" "task" {
  name                 = "${var.name_prefix}-task"
  description          = "Used by the containers: no permissions, or writing metrics if there is a collector"
  assume_role_policy   = data.aws_iam_policy_document.tasks_trust.json
  permissions_boundary = local.boundary_arn
}

resource "aws_iam_role_policy" "write_metrics" {
  count = var.managed_prometheus == null ? 0 : 1

  name   = "write-metrics"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.write_metrics[0].json
}

data "aws_iam_policy_document" "write_metrics" {
  count = var.managed_prometheus == null ? 0 : 1

  statement {
    actions   = ["aps:RemoteWrite"]
    resources = [aws_prometheus_workspace.this[0].arn]
  }
}
