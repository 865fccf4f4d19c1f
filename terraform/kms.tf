# A separate key for the service's data; without permission to use the key, the data cannot be read.

locals {
  # Null: each AWS service uses its own managed key.
  kms_key_arn = one(aws_kms_key.this[*].arn)
}

resource "aws_kms_key" "this" {
  count = var.customer_managed_key_enabled ? 1 : 0

  description         = "Data of ${var.name_prefix}"
  enable_key_rotation = true
  policy              = data.aws_iam_policy_document.kms[0].json
}

resource "aws_kms_alias" "this" {
  count = var.customer_managed_key_enabled ? 1 : 0

  name          = "alias/${var.name_prefix}"
  target_key_id = aws_kms_key.this[0].key_id
}

data "aws_iam_policy_document" "kms" {
  # checkov:skip=CKV_AWS_109:In a key policy `*` is this key, and without this statement it could not be managed
  # checkov:skip=CKV_AWS_111:As CKV_AWS_109
  # checkov:skip=CKV_AWS_356:As CKV_AWS_109
  count = var.customer_managed_key_enabled ? 1 : 0

  # The account's IAM policies decide who may use the key.
  # https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account_id}:root"]
    }
  }

  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${var.region}.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${local.partition}:logs:${var.region}:${local.account_id}:log-group:*${var.name_prefix}*"]
    }
  }

  # Alarms and alerts publish to a topic encrypted with this key.
  # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
  statement {
    sid       = "Alarms"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com", "aps.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }

  # SNS does not support conditions on the source for EventBridge.
  # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
  statement {
    sid       = "Events"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:sns:topicArn"
      values   = ["arn:${local.partition}:sns:${var.region}:${local.account_id}:${var.name_prefix}-alarms-*"]
    }
  }
}
