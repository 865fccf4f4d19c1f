# Resources of an account before the service is deployed.

mock_provider "aws" {
  override_during = plan

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = {
      json          = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
      minified_json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
    }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/zama-challenge-deploy" }
  }
  mock_resource "aws_ecr_repository" {
    defaults = { arn = "arn:aws:ecr:eu-west-1:123456789012:repository/zama" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::states" }
  }
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
  }
  override_resource {
    target = aws_iam_policy.boundary
    values = { arn = "arn:aws:iam::123456789012:policy/zama-challenge-boundary" }
  }
}

run "without_a_repository_there_are_resources_and_no_role_for_workflows" {
  command = plan

  # --- Images ---
  assert {
    condition     = toset(keys(aws_ecr_repository.this)) == toset(["zama-api", "zama-nginx", "zama-collector"])
    error_message = "There must be a repository for each image."
  }
  assert {
    condition = alltrue([
      for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE" && repository.image_scanning_configuration[0].scan_on_push
    ])
    error_message = "Tags must be immutable, and images must be scanned."
  }
  assert {
    condition     = length(aws_ecr_lifecycle_policy.this) == length(aws_ecr_repository.this)
    error_message = "Old images must expire."
  }
  assert {
    condition = alltrue([
      for one in aws_ecr_lifecycle_policy.this : [
        for rule in jsondecode(one.policy).rules : [rule.rulePriority, try(rule.selection.tagPrefixList[0], rule.selection.tagStatus)]
      ] == [[1, "deployed-"], [2, "sha256-"], [3, "untagged"], [4, "any"]]
    ])
    error_message = "Deployed images and all signatures must match rules that come before the rule for all images."
  }
  assert {
    condition     = alltrue([for one in aws_ecr_lifecycle_policy.this : jsondecode(one.policy).rules[2].selection.countNumber >= 365])
    error_message = "Signatures without a tag must be kept for as long as their image may be deployed again."
  }

  # --- State ---
  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled" && one(aws_s3_bucket_server_side_encryption_configuration.state.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    error_message = "The state must be versioned and encrypted."
  }
  assert {
    condition     = aws_s3_bucket_public_access_block.state.block_public_policy && aws_s3_bucket_public_access_block.state.restrict_public_buckets && !aws_s3_bucket.state.force_destroy
    error_message = "The state must be private and protected from accidental deletion."
  }
  assert {
    condition     = one(data.aws_iam_policy_document.state.statement).effect == "Deny" && one(one(data.aws_iam_policy_document.state.statement).condition).variable == "aws:SecureTransport"
    error_message = "The state bucket must require TLS."
  }

  # --- Workflows ---
  assert {
    condition     = length(aws_iam_role.deploy) + length(aws_iam_role.workflow) == 0 && length(aws_iam_openid_connect_provider.github) == 0
    error_message = "There must be no role and no provider for workflows."
  }
  assert {
    condition     = length(aws_iam_policy.deploy) == 0 && length(aws_iam_role_policy.deploy) == 0
    error_message = "There must be no policies for workflows."
  }
}

run "the_services_roles_are_bounded_by_name" {
  command = plan

  variables {
    name_prefix = "another"
  }

  assert {
    condition     = aws_iam_policy.boundary.name == "another-boundary"
    error_message = "The boundary must exist without workflows as well, under the name that ../iam.tf uses."
  }
  assert {
    condition     = !strcontains(join("", flatten(data.aws_iam_policy_document.boundary.statement[*].actions)), "*") && alltrue([for statement in data.aws_iam_policy_document.boundary.statement : statement.not_actions == null])
    error_message = "No action may have a wildcard."
  }
  assert {
    condition = toset([
      for action in flatten([for statement in data.aws_iam_policy_document.boundary.statement : tolist(statement.actions)]) : action
      if contains(["iam", "sts", "s3", "organizations"], split(":", action)[0])
    ]) == toset(["iam:PassRole"])
    error_message = "A role of the service must not change or assume another."
  }
  assert {
    condition = one([for statement in data.aws_iam_policy_document.boundary.statement : statement.resources if contains(statement.actions, "iam:PassRole")]) == toset([
      for name in ["execution", "task"] : "arn:aws:iam::123456789012:role/another-${name}"
    ])
    error_message = "Only the execution role and the task role may be passed."
  }
  assert {
    condition = [
      for statement in data.aws_iam_policy_document.boundary.statement : statement.sid
      if contains(statement.resources, "*") && length(statement.condition) == 0
    ] == ["LogInAndRead"]
    error_message = "Permissions on named resources must be limited to their names."
  }
}

run "workflows_of_main_and_production_deploy_within_bounds" {
  command = plan

  variables {
    name_prefix       = "another"
    github_repository = "example/zama-challenge"
  }

  # --- Trust ---
  assert {
    condition     = alltrue(flatten([for document in data.aws_iam_policy_document.trust : [for condition in document.statement[0].condition : condition.test == "StringEquals"]]))
    error_message = "Subjects must be compared exactly."
  }
  assert {
    condition = { for name, document in data.aws_iam_policy_document.trust : name => one([for condition in document.statement[0].condition : condition.values if endswith(condition.variable, ":sub")]) } == {
      for name in ["environment:drift", "environment:production", "ref:refs/heads/main"] : name => tolist(["repo:example/zama-challenge:${name}"])
    }
    error_message = "Each document must trust exactly its branch or environment, without ids."
  }
  assert {
    condition     = { for name, role in local.roles : name => role.subject } == { push = "ref:refs/heads/main", plan = "ref:refs/heads/main", drift = "environment:drift" }
    error_message = "Jobs before the approval must have separate roles."
  }
  assert {
    condition     = alltrue([for document in data.aws_iam_policy_document.trust : one(document.statement).actions == toset(["sts:AssumeRoleWithWebIdentity"]) && one([for condition in document.statement[0].condition : condition.values if endswith(condition.variable, ":aud")]) == tolist(["sts.amazonaws.com"])])
    error_message = "The token's audience must be AWS."
  }

  # --- Permissions ---
  assert {
    condition     = setunion(local.in_region, local.tagged, local.in_zone, local.bounded, flatten([for services in local.on_names : values(services)])) == local.actions
    error_message = "Each of actions.json's services must be in by_id or by_name: ${join(", ", setsubtract(local.actions, setunion(local.in_region, local.tagged, local.in_zone, local.bounded, flatten([for services in local.on_names : values(services)]))))}"
  }
  assert {
    condition = alltrue([
      for statement in flatten([data.aws_iam_policy_document.in_region.statement, data.aws_iam_policy_document.bounded.statement, values(data.aws_iam_policy_document.on_names)[*].statement]) :
      !strcontains(join("", statement.actions), "*")
    ])
    error_message = "No action may have a wildcard."
  }
  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.in_region.statement : anytrue([for condition in statement.condition : condition.variable == "aws:RequestedRegion" && condition.values == tolist([var.region])])])
    error_message = "Permissions on other resources must be limited to the region."
  }
  assert {
    condition     = one([for condition in data.aws_iam_policy_document.in_region.statement[1].condition : condition.values if condition.variable == "aws:ResourceTag/Service"]) == tolist(["another"])
    error_message = "Actions that end a network or a key must be limited to the service's own."
  }
  assert {
    condition     = contains(local.tagged, "kms:PutKeyPolicy") && contains(local.tagged, "kms:ScheduleKeyDeletion") && contains(local.tagged, "ec2:DeleteVpc") && length(setintersection(local.tagged, local.in_region)) == 0
    error_message = "These actions must be allowed on tagged resources only."
  }
  assert {
    condition     = local.in_zone == toset(["route53:ChangeResourceRecordSets"]) && length(data.aws_iam_policy_document.in_region.statement) == 2
    error_message = "Without a zone, the role must change no records."
  }
  assert {
    condition = alltrue([
      for services in local.by_name : alltrue([
        for service, names in services : alltrue([
          for name in names : anytrue([strcontains(name, "another"), strcontains(name, "parameter/zama/"), strcontains(name, "managedruleset"), service == "ecr"])
        ]) || service == "route53"
      ])
    ])
    error_message = "Permissions on named resources must be limited to their names."
  }
  assert {
    condition     = toset(keys(aws_iam_role_policy_attachment.deploy)) == setunion(["region", "roles"], keys(local.by_name))
    error_message = "Every policy must be attached to the role."
  }

  # --- The role itself ---
  assert {
    condition     = local.by_name.tasks.iam == local.service_role_arns && !contains(local.service_role_arns, "arn:aws:iam::123456789012:role/another-deploy")
    error_message = "The role must change only the service's roles, by exact name."
  }
  assert {
    condition     = !strcontains(join("", local.service_role_arns), "*")
    error_message = "Role names must have no wildcard, because this role's name has the same prefix."
  }
  assert {
    condition     = alltrue([for action in local.in_region : !startswith(action, "iam:") && !startswith(action, "s3:") && !startswith(action, "ssm:Get")])
    error_message = "Roles, buckets and parameters have names, so their actions must not be limited by region alone."
  }

  # --- The service's roles ---
  assert {
    condition     = local.bounded == toset(["iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"])
    error_message = "Actions that create or change a role must require the boundary."
  }
  assert {
    condition     = length(setintersection(local.bounded, flatten([for services in local.on_names : values(services)]))) == 0
    error_message = "No other statement may allow these actions without the condition."
  }
  assert {
    condition     = !contains(local.actions, "iam:DeleteRolePermissionsBoundary")
    error_message = "The role must not remove a boundary."
  }
  assert {
    condition     = one(data.aws_iam_policy_document.bounded.statement).resources == toset(local.service_role_arns)
    error_message = "The statement must be limited to the service's roles."
  }
  assert {
    condition     = [for condition in one(data.aws_iam_policy_document.bounded.statement).condition : [condition.test, condition.variable, condition.values]] == [["StringEquals", "iam:PermissionsBoundary", tolist([aws_iam_policy.boundary.arn])]]
    error_message = "The statement must require exactly this boundary."
  }
}

run "the_subject_has_ids_if_githubs_tokens_have_them" {
  command = plan

  variables {
    github_repository = "example/zama-challenge"
    github_ids        = { owner = "583231", repository = "1296269" }
    zone_id           = "Z0123456789"
  }

  assert {
    condition = toset(flatten([for document in data.aws_iam_policy_document.trust : [for condition in document.statement[0].condition : condition.values if endswith(condition.variable, ":sub")]])) == toset([
      for name in ["environment:drift", "environment:production", "ref:refs/heads/main"] : "repo:example@583231/zama-challenge@1296269:${name}"
    ])
    error_message = "Only the form with ids must be trusted: a new owner of an old name has the other form."
  }
  assert {
    condition     = data.aws_iam_policy_document.in_region.statement[2].resources == toset(["arn:aws:route53:::hostedzone/Z0123456789"]) && data.aws_iam_policy_document.in_region.statement[2].actions == local.in_zone
    error_message = "Records must be limited to the zone."
  }
}

run "jobs_before_the_approval_cannot_apply" {
  command = plan

  variables {
    github_repository = "example/zama-challenge"
  }

  assert {
    condition = toset(flatten([
      for document in [data.aws_iam_policy_document.push_images, data.aws_iam_policy_document.plan, data.aws_iam_policy_document.plan_state, data.aws_iam_policy_document.refresh] :
      [for action in flatten([for statement in document.statement : tolist(statement.actions)]) : action if !can(regex(":(BatchCheck|BatchGet|Describe|Get|List)", action))]
      ])) == toset([
      "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
      "kms:Decrypt", "s3:PutObject",
    ])
    error_message = "They must change only images and saved plans."
  }
  assert {
    condition     = one(data.aws_iam_policy_document.plan_state.statement).resources == toset(["arn:aws:s3:::states/service/plans/*"])
    error_message = "The state must not be writable before the approval."
  }
  assert {
    condition     = alltrue([for action in one(data.aws_iam_policy_document.plan.statement).actions : !startswith(action, "ssm:") && !startswith(action, "kms:")])
    error_message = "A plan must not read keys."
  }
}

run "ids_are_numbers" {
  command = plan

  variables {
    github_repository = "example/zama-challenge"
    github_ids        = { owner = "*", repository = "1296269" }
  }

  expect_failures = [var.github_ids]
}

run "ids_need_a_repository" {
  command = plan

  variables {
    github_ids = { owner = "583231", repository = "1296269" }
  }

  expect_failures = [var.github_ids]
}

run "a_zone_has_an_id" {
  command = plan

  variables {
    zone_id = "example.com"
  }

  expect_failures = [var.zone_id]
}
