# What an account has before the service.

mock_provider "aws" {
  override_during = plan

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
  }
}

run "region_refuses_what_is_no_region" {
  command = plan

  variables {
    region = "Ireland"
  }

  expect_failures = [var.region]
}

run "name_prefix_refuses_capitals" {
  command = plan

  variables {
    name_prefix = "Zama"
  }

  expect_failures = [var.name_prefix]
}

run "github_repository_refuses_a_wildcard" {
  command = plan

  variables {
    github_repository = "example/*"
  }

  expect_failures = [var.github_repository]
}

run "images_cannot_be_replaced_and_are_scanned" {
  command = plan

  assert {
    condition     = toset(keys(aws_ecr_repository.this)) == toset(["zama-api", "zama-nginx", "zama-collector"])
    error_message = "There must be a repository for each image."
  }
  assert {
    condition = alltrue([
      for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE" && repository.image_scanning_configuration[0].scan_on_push
    ])
    error_message = "Tags must be immutable, and images scanned."
  }
  assert {
    condition     = length(aws_ecr_lifecycle_policy.this) == length(aws_ecr_repository.this)
    error_message = "Old images must expire."
  }
}

run "the_state_is_versioned_encrypted_and_private" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled" && one(aws_s3_bucket_server_side_encryption_configuration.state.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    error_message = "The state must be versioned and encrypted."
  }
  assert {
    condition     = aws_s3_bucket_public_access_block.state.block_public_policy && aws_s3_bucket_public_access_block.state.restrict_public_buckets && !aws_s3_bucket.state.force_destroy
    error_message = "The state must be private, and not be lost by accident."
  }
  assert {
    condition     = one(data.aws_iam_policy_document.state.statement).effect == "Deny" && one(one(data.aws_iam_policy_document.state.statement).condition).variable == "aws:SecureTransport"
    error_message = "The state must travel encrypted."
  }
}

run "without_a_repository_nobody_deploys" {
  command = plan

  assert {
    condition     = length(aws_iam_role.deploy) == 0 && length(aws_iam_openid_connect_provider.github) == 0
    error_message = "There must be no role for workflows."
  }
}

run "main_and_the_production_environment_deploy_and_nobody_else" {
  command = plan

  variables {
    github_repository = "example/zama-challenge"
  }

  assert {
    condition     = alltrue([for condition in data.aws_iam_policy_document.deploy_trust[0].statement[0].condition : condition.test == "StringEquals"])
    error_message = "Subjects must be compared to the letter."
  }
  assert {
    condition     = one([for condition in data.aws_iam_policy_document.deploy_trust[0].statement[0].condition : condition.values if endswith(condition.variable, ":sub")]) == tolist(["repo:example/zama-challenge:ref:refs/heads/main", "repo:example/zama-challenge:environment:production"])
    error_message = "Only main and the production environment may deploy."
  }
  assert {
    condition     = !contains(local.service_role_arns, "arn:aws:iam::123456789012:role/zama-challenge-deploy")
    error_message = "The role must not be able to change itself."
  }
}
