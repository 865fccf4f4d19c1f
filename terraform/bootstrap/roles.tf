# The roles of jobs that run before the approval. A job on main also runs tests, with all their
# dependencies: whichever code it runs can push images and save plans, but can neither apply a plan,
# nor read a key, nor pass a role.

locals {
  roles = var.github_repository == null ? {} : {
    push = {
      subject  = "ref:refs/heads/main"
      purpose  = "push, sign and publish images"
      policies = { images = data.aws_iam_policy_document.push_images.minified_json }
    }
    plan = {
      subject  = "ref:refs/heads/main"
      purpose  = "plan, and save the plan"
      policies = { state = data.aws_iam_policy_document.plan_state.minified_json, read = data.aws_iam_policy_document.plan.minified_json }
    }
    # Terraform decrypts the parameter when it compares it, so this role can read the keys. Its job
    # runs no test and has a separate environment.
    drift = {
      subject  = "environment:drift"
      purpose  = "compare AWS with the last deployment"
      policies = { state = data.aws_iam_policy_document.lock_state.minified_json, read = data.aws_iam_policy_document.refresh.minified_json }
    }
  }
}

resource "aws_iam_role" "workflow" {
  for_each = local.roles

  name                 = "${var.name_prefix}-${each.key}"
  description          = "Workflow of ${var.github_repository}: ${each.value.purpose}"
  assume_role_policy   = data.aws_iam_policy_document.trust[each.value.subject].json
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "workflow" {
  for_each = merge([
    for name, role in local.roles : {
      for policy, document in role.policies : "${name}-${policy}" => { role = name, name = policy, document = document }
    }
  ]...)

  name   = each.value.name
  role   = aws_iam_role.workflow[each.value.role].id
  policy = each.value.document
}

# --- Images ---------------------------------------------------------------------------------------

data "aws_iam_policy_document" "pull_images" {
  statement {
    sid       = "LogIn"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid = "Pull"
    actions = [
      "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:DescribeImageScanFindings",
      "ecr:DescribeRepositories", "ecr:GetDownloadUrlForLayer", "ecr:ListTagsForResource",
    ]
    resources = values(aws_ecr_repository.this)[*].arn
  }
}

data "aws_iam_policy_document" "push_images" {
  source_policy_documents = [data.aws_iam_policy_document.pull_images.json]

  statement {
    sid       = "Push"
    actions   = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
    resources = values(aws_ecr_repository.this)[*].arn
  }
}

# --- Plans ----------------------------------------------------------------------------------------

# https://developer.hashicorp.com/terraform/language/backend/s3#permissions-required
data "aws_iam_policy_document" "lock_state" {
  statement {
    sid       = "Find"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.state.arn]
  }

  statement {
    sid       = "Read"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.state.arn}/service/*"]
  }

  statement {
    sid       = "Lock"
    actions   = ["s3:DeleteObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.state.arn}/service/terraform.tfstate.tflock"]
  }
}

data "aws_iam_policy_document" "plan_state" {
  source_policy_documents = [data.aws_iam_policy_document.lock_state.json]

  statement {
    sid       = "SavePlans"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.state.arn}/service/plans/*"]
  }
}

# A plan without a refresh reads only the data sources.
data "aws_iam_policy_document" "plan" {
  statement {
    actions   = sort(toset(flatten([for kind, actions in local.known : actions if startswith(kind, "data.")])))
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "refresh" {
  statement {
    sid       = "Read"
    actions   = sort([for action in local.actions : action if can(regex(":(Describe|Get|List)", action)) && !startswith(action, "ssm:GetParameter")])
    resources = ["*"]
  }

  statement {
    sid       = "ReadKeys"
    actions   = ["ssm:GetParameter"]
    resources = [local.parameter_arn]
  }

  statement {
    sid       = "DecryptKeys"
    actions   = ["kms:Decrypt"]
    resources = ["arn:${local.partition}:kms:${var.region}:${local.account_id}:key/*"]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["ssm.${var.region}.amazonaws.com"]
    }
  }
}
