# Deployments that fail, are rolled back, or cannot place their tasks, and containers that stop alone.
# AWS reports them as events, which cost nothing.

locals {
  deployment_rule_name = "${var.name_prefix}-deployments"
  deployment_rule_arn  = "arn:${local.partition}:events:${var.region}:${local.account_id}:rule/${local.deployment_rule_name}"
  ecs_service_arn      = "arn:${local.partition}:ecs:${var.region}:${local.account_id}:service/${var.name_prefix}/${var.name_prefix}"
}

resource "aws_cloudwatch_event_rule" "deployments" {
  name        = local.deployment_rule_name
  description = "Deployments of ${var.name_prefix} that fail, tasks that do not start, and containers that stop"

  event_pattern = jsonencode({
    "$or" = [
      # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
      {
        source      = ["aws.ecs"]
        detail-type = ["ECS Deployment State Change"]
        resources   = [local.ecs_service_arn]
        detail      = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
      },
      # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_events.html
      {
        source      = ["aws.ecs"]
        detail-type = ["ECS Service Action"]
        resources   = [local.ecs_service_arn]
        detail      = { eventType = ["WARN", "ERROR"] }
      },
      # https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-cloudwatch-events.html
      {
        source      = ["aws.codedeploy"]
        detail-type = ["CodeDeploy Deployment State-change Notification"]
        detail      = { application = [var.name_prefix], state = ["FAILURE", "STOP"] }
      },
      # A container of the metrics: the task continues without it, and the other tasks' metrics hide it.
      # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
      {
        source      = ["aws.ecs"]
        detail-type = ["ECS Task State Change"]
        detail = {
          clusterArn    = ["arn:${local.partition}:ecs:${var.region}:${local.account_id}:cluster/${var.name_prefix}"]
          lastStatus    = ["RUNNING"]
          desiredStatus = ["RUNNING"]
          containers    = { lastStatus = ["STOPPED"] }
        }
      },
    ]
  })
}

resource "aws_cloudwatch_event_target" "deployments" {
  rule = aws_cloudwatch_event_rule.deployments.name
  arn  = aws_sns_topic.alarms["ticket"].arn

  input_transformer {
    input_paths    = { what = "$.detail-type", detail = "$.detail" }
    input_template = "\"DeploymentFailed: <what>. Runbook: ${local.runbooks}/DeploymentFailed.md <detail>\""
  }
}
