# Roles: what each may do.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image_tag = "1a2b3c4"
}

run "the_execution_role_starts_tasks_and_no_more" {
  command = plan

  assert {
    condition = jsonencode({
      for statement in data.aws_iam_policy_document.execution.statement : statement.sid => sort(statement.actions)
      }) == jsonencode({
      LogInToRegistry = ["ecr:GetAuthorizationToken"]
      PullImages      = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      ReadKeys        = ["ssm:GetParameters"]
      WriteLogs       = ["logs:CreateLogStream", "logs:PutLogEvents"]
    })
    error_message = "The execution role must read the keys, pull images and write logs."
  }
  assert {
    condition     = one([for statement in data.aws_iam_policy_document.execution.statement : statement.resources if statement.sid == "ReadKeys"]) == toset([aws_ssm_parameter.api_keys.arn])
    error_message = "It must read the one parameter."
  }
}

run "with_a_key_of_its_own_it_decrypts_that_parameter_only" {
  command = plan

  variables {
    customer_managed_key_enabled = true
  }

  assert {
    condition     = one([for statement in data.aws_iam_policy_document.execution.statement : statement.resources if contains(statement.actions, "kms:Decrypt")]) == toset([aws_kms_key.this[0].arn])
    error_message = "It must decrypt with the service's key."
  }
  assert {
    condition     = one(flatten([for statement in data.aws_iam_policy_document.execution.statement : [for condition in statement.condition : condition.variable] if contains(statement.actions, "kms:Decrypt")])) == "kms:EncryptionContext:PARAMETER_ARN"
    error_message = "It must decrypt nothing but the parameter."
  }
  assert {
    condition     = aws_kms_key.this[0].enable_key_rotation && aws_ssm_parameter.api_keys.key_id == aws_kms_key.this[0].arn && aws_cloudwatch_log_group.this.kms_key_id == aws_kms_key.this[0].arn && aws_sns_topic.alarms.kms_master_key_id == aws_kms_key.this[0].arn
    error_message = "Keys, logs and alarms must be encrypted with the service's key, which is renewed."
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.kms[0].statement :
      statement.sid == "Account" ? one(statement.principals).identifiers == toset(["arn:aws:iam::123456789012:root"]) :
      length(statement.condition) == 1 && !contains(statement.actions, "kms:*")
    ])
    error_message = "Each service must have a condition, and only the account may manage the key."
  }
}

run "the_task_role_may_do_nothing" {
  command = plan

  assert {
    condition     = length(aws_iam_role_policy.write_metrics) == 0
    error_message = "Without a collector the task role must have no policy."
  }
}

run "the_collector_writes_metrics_to_the_one_workspace" {
  command = plan

  variables {
    managed_prometheus = { collector_tag = "v0.45.0" }
  }

  assert {
    condition     = data.aws_iam_policy_document.write_metrics[0].statement[0].actions == toset(["aps:RemoteWrite"]) && data.aws_iam_policy_document.write_metrics[0].statement[0].resources == toset([aws_prometheus_workspace.this[0].arn])
    error_message = "The task role must write metrics to the one workspace and do nothing else."
  }
}

run "only_ecs_of_this_account_takes_the_roles" {
  command = plan

  assert {
    condition     = toset([for condition in data.aws_iam_policy_document.tasks_trust.statement[0].condition : condition.variable]) == toset(["aws:SourceAccount", "aws:SourceArn"])
    error_message = "Nobody else's tasks may take the roles."
  }
  assert {
    condition     = one(data.aws_iam_policy_document.tasks_trust.statement[0].principals).identifiers == toset(["ecs-tasks.amazonaws.com"]) && data.aws_iam_policy_document.tasks_trust.statement[0].actions == toset(["sts:AssumeRole"])
    error_message = "Only tasks may take the roles."
  }
  assert {
    condition     = toset(flatten([for condition in data.aws_iam_policy_document.tasks_trust.statement[0].condition : condition.values])) == toset(["123456789012", "arn:aws:ecs:eu-west-1:123456789012:*"])
    error_message = "They must be tasks of this account, in this region."
  }
  assert {
    condition = [
      for statement in data.aws_iam_policy_document.alarms.statement :
      [statement.actions, one(statement.principals).identifiers, one(statement.condition).variable, one(statement.condition).values]
    ] == [[toset(["sns:Publish"]), toset(["cloudwatch.amazonaws.com", "aps.amazonaws.com"]), "aws:SourceAccount", tolist(["123456789012"])]]
    error_message = "Only this account may publish alarms."
  }
}

run "each_permission_names_what_is_the_service_s" {
  command = plan

  variables {
    customer_managed_key_enabled = true
    managed_prometheus           = { collector_tag = "v0.45.0" }
  }

  assert {
    condition     = [for statement in data.aws_iam_policy_document.execution.statement : statement.sid if contains(statement.resources, "*")] == ["LogInToRegistry"]
    error_message = "Only the login to the registry may be for every resource: it knows none."
  }
  assert {
    condition     = toset(flatten([for statement in data.aws_iam_policy_document.execution.statement : [for action in statement.actions : action if startswith(action, "ssm:") || startswith(action, "kms:")]])) == toset(["ssm:GetParameters", "kms:Decrypt"])
    error_message = "Of parameters and keys it must have ssm:GetParameters and kms:Decrypt, and no more."
  }
  assert {
    condition     = flatten([for statement in data.aws_iam_policy_document.execution.statement : [for condition in statement.condition : [condition.test, condition.values]] if statement.sid == "DecryptKeys"]) == ["StringEquals", aws_ssm_parameter.api_keys.arn]
    error_message = "It must decrypt the one parameter, compared to the letter."
  }
  assert {
    condition = one([for statement in data.aws_iam_policy_document.execution.statement : statement.resources if statement.sid == "PullImages"]) == toset([
      for name in ["api", "nginx", "collector"] : "arn:aws:ecr:eu-west-1:123456789012:repository/zama-${name}"
    ])
    error_message = "It must pull from the service's repositories only."
  }
  assert {
    condition     = one([for statement in data.aws_iam_policy_document.execution.statement : statement.resources if statement.sid == "WriteLogs"]) == toset(["${aws_cloudwatch_log_group.this.arn}:*"])
    error_message = "It must write to the one log group."
  }
  assert {
    condition     = aws_iam_role_policy.execution.role == aws_iam_role.execution.id && aws_iam_role_policy.write_metrics[0].role == aws_iam_role.task.id && aws_iam_role.execution.id != aws_iam_role.task.id
    error_message = "What starts a task and what a task may do must be two roles."
  }
  assert {
    condition     = aws_ecs_task_definition.this.execution_role_arn == aws_iam_role.execution.arn && aws_ecs_task_definition.this.task_role_arn == aws_iam_role.task.arn
    error_message = "The task must have each role in its place."
  }
  assert {
    condition     = aws_iam_role.task.name == "zama-challenge-task" && sum([for name in fileset(path.module, "*.tf") : length(regexall("aws_iam_role_policy_attachment|managed_policy_arns|inline_policy|role +\\= aws_iam_role\\.task\\.", file("${path.module}/${name}")))]) == 1
    error_message = "The task role must have the one policy for metrics, and no way to another."
  }
}

run "every_role_has_the_boundary" {
  command = plan

  variables {
    name_prefix             = "another"
    deployment_strategy     = "blue_green"
    vpc                     = { cidr = "10.20.0.0/16", zones = ["a", "b"] }
    access_logs_enabled     = true
    managed_prometheus      = { collector_tag = "v0.45.0" }
    managed_grafana_enabled = true
  }

  assert {
    condition = alltrue([
      for role in concat([aws_iam_role.execution, aws_iam_role.task], aws_iam_role.codedeploy, aws_iam_role.flow_logs, aws_iam_role.grafana) :
      role.permissions_boundary == "arn:aws:iam::123456789012:policy/another-boundary"
    ])
    error_message = "No role may have more than bootstrap/boundary.tf says, and without it the workflows' role makes none."
  }
  assert {
    condition = sum([
      for name in fileset(path.module, "*.tf") : length(regexall("resource \"aws_iam_role\" ", file("${path.module}/${name}")))
    ]) == length(concat([aws_iam_role.execution, aws_iam_role.task], aws_iam_role.codedeploy, aws_iam_role.flow_logs, aws_iam_role.grafana))
    error_message = "Each role must be among those above."
  }
  assert {
    condition = jsonencode({
      for statement in data.aws_iam_policy_document.codedeploy[0].statement : coalesce(statement.sid, "-") => sort(statement.resources) if contains(statement.resources, "*")
      }) == jsonencode({
      Describe     = ["*"]
      MakeTaskSets = ["*"]
    })
    error_message = "CodeDeploy may describe every resource, and must change only this service's."
  }
  assert {
    condition = [
      for statement in data.aws_iam_policy_document.codedeploy[0].statement : [one(statement.condition).variable, one(statement.condition).values] if statement.sid == "MakeTaskSets"
    ] == [["ecs:cluster", tolist([aws_ecs_cluster.this.arn])]]
    error_message = "CodeDeploy must make task sets in the one cluster."
  }
  assert {
    condition = [
      for document in [data.aws_iam_policy_document.codedeploy_trust[0], data.aws_iam_policy_document.flow_logs_trust[0], data.aws_iam_policy_document.grafana_trust[0]] :
      one(one(one(document.statement).principals).identifiers)
    ] == ["codedeploy.amazonaws.com", "vpc-flow-logs.amazonaws.com", "grafana.amazonaws.com"]
    error_message = "Each role must be its service's only."
  }
  assert {
    condition     = [for statement in data.aws_iam_policy_document.grafana[0].statement : statement.resources if statement.sid == "Prometheus"] == [toset([aws_prometheus_workspace.this[0].arn])] && one(data.aws_iam_policy_document.flow_logs[0].statement).resources == toset(["${aws_cloudwatch_log_group.flows[0].arn}:*"])
    error_message = "Grafana must read the one workspace, and flow logs must go to the one log group."
  }
}
