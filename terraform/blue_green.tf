# CodeDeploy starts a second set of tasks, waits until it has been tested, and shifts a tenth of the
# traffic to it, then after five minutes all of it. An alarm rolls the deployment back. `apply`
# registers the task definition; the output `codedeploy_deployment` starts the shift
# (docs/deploy.md).

resource "aws_codedeploy_app" "this" {
  count = local.blue_green ? 1 : 0

  name             = var.name_prefix
  compute_platform = "ECS"
}

resource "aws_codedeploy_deployment_group" "this" {
  count = local.blue_green ? 1 : 0

  app_name               = aws_codedeploy_app.this[0].name
  deployment_group_name  = var.name_prefix
  deployment_config_name = "CodeDeployDefault.ECSCanary10Percent5Minutes"
  service_role_arn       = aws_iam_role.codedeploy[0].arn

  deployment_style {
    deployment_option = "WITH_TRAFFIC_CONTROL"
    deployment_type   = "BLUE_GREEN"
  }

  blue_green_deployment_config {
    # `zama` tests the new tasks on the test listener, and then continues the deployment.
    deployment_ready_option {
      action_on_timeout    = "STOP_DEPLOYMENT"
      wait_time_in_minutes = 15
    }
    # Rollbacks are instant until then, because the old tasks still run.
    terminate_blue_instances_on_deployment_success {
      action                           = "TERMINATE"
      termination_wait_time_in_minutes = 10
    }
  }

  auto_rollback_configuration {
    enabled = true
    events  = ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"]
  }

  alarm_configuration {
    enabled = true
    alarms  = local.rollback_alarm_names
  }

  ecs_service {
    cluster_name = aws_ecs_cluster.this.name
    service_name = local.service_name
  }

  load_balancer_info {
    target_group_pair_info {
      prod_traffic_route {
        listener_arns = [local.listener_arn]
      }
      test_traffic_route {
        listener_arns = aws_lb_listener.test[*].arn
      }
      dynamic "target_group" {
        for_each = aws_lb_target_group.this

        content {
          name = target_group.value.name
        }
      }
    }
  }
}

# --- Role -----------------------------------------------------------------------------------------

resource "aws_iam_role" "codedeploy" {
  count = local.blue_green ? 1 : 0

  name                 = "${var.name_prefix}-codedeploy"
  description          = "Shifts traffic between the two sets of tasks"
  assume_role_policy   = data.aws_iam_policy_document.codedeploy_trust[0].json
  permissions_boundary = local.boundary_arn
}

data "aws_iam_policy_document" "codedeploy_trust" {
  count = local.blue_green ? 1 : 0

  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["codedeploy.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "codedeploy" {
  count = local.blue_green ? 1 : 0

  name   = "shift-traffic"
  role   = aws_iam_role.codedeploy[0].id
  policy = data.aws_iam_policy_document.codedeploy[0].json
}

# The permissions of AWSCodeDeployRoleForECSLimited that are used here, for this service only.
data "aws_iam_policy_document" "codedeploy" {
  # checkov:skip=CKV_AWS_356:Describe actions do not support resources
  count = local.blue_green ? 1 : 0

  statement {
    sid       = "Describe"
    actions   = ["elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeRules", "cloudwatch:DescribeAlarms"]
    resources = ["*"]
  }

  statement {
    sid     = "TaskSets"
    actions = ["ecs:DescribeServices", "ecs:UpdateServicePrimaryTaskSet", "ecs:DeleteTaskSet"]
    resources = [
      "arn:${local.partition}:ecs:${var.region}:${local.account_id}:service/${var.name_prefix}/${var.name_prefix}",
      "arn:${local.partition}:ecs:${var.region}:${local.account_id}:task-set/${var.name_prefix}/${var.name_prefix}/*",
    ]
  }

  # A new task set has no name yet, so the condition limits it to this cluster.
  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
  statement {
    sid       = "MakeTaskSets"
    actions   = ["ecs:CreateTaskSet"]
    resources = ["*"]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.this.arn]
    }
  }

  # The listeners' default actions; they have no rules.
  statement {
    sid       = "Shift"
    actions   = ["elasticloadbalancing:ModifyListener"]
    resources = [local.listener_arn, aws_lb_listener.test[0].arn]
  }

  statement {
    sid       = "StartTasks"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.execution.arn, aws_iam_role.task.arn]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
}
