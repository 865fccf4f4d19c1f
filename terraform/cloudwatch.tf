# Alarms and their topic. The alarms on service levels are in slo.tf.

locals {
  # Each alarm has a runbook in docs/runbooks, under the alarm's name.
  runbooks = local.service_levels.runbooks

  load_balancer_dimensions = { LoadBalancer = aws_lb.this.arn_suffix }
  service_dimensions       = { ClusterName = aws_ecs_cluster.this.name, ServiceName = local.service_name }

  # Alarms that indicate a bad version: a deployment that triggers one is rolled back.
  rollback_alarm_names = [for name in ["ServerErrors", "LoadBalancerErrors"] : "${var.name_prefix}-${name}"]
}

# --- Topic ----------------------------------------------------------------------------------------

resource "aws_sns_topic" "alarms" {
  name              = "${var.name_prefix}-alarms"
  kms_master_key_id = local.kms_key_arn
}

resource "aws_sns_topic_subscription" "email" {
  count = var.alarm_email == null ? 0 : 1

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms.json
}

data "aws_iam_policy_document" "alarms" {
  statement {
    sid       = "Publish"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]
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
}

# --- Alarms ---------------------------------------------------------------------------------------

locals {
  # Name to metric. An alarm fires after `periods` minutes in a row at or above the threshold, or
  # under it if `below` is set. With `below`, missing data fires as well; otherwise it is a quiet
  # minute.
  alarms = {
    ServerErrors = {
      description = "The service answered 5 or more requests with a 5xx within a minute."
      namespace   = "AWS/ApplicationELB"
      metric      = "HTTPCode_Target_5XX_Count"
      dimensions  = local.load_balancer_dimensions
      statistic   = "Sum"
      threshold   = 5
      below       = false
      periods     = 1
    }
    LoadBalancerErrors = {
      description = "The load balancer itself answered 5 or more requests with a 5xx within a minute: no task is healthy, or connections to tasks failed."
      namespace   = "AWS/ApplicationELB"
      metric      = "HTTPCode_ELB_5XX_Count"
      dimensions  = local.load_balancer_dimensions
      statistic   = "Sum"
      threshold   = 5
      below       = false
      periods     = 1
    }
    SlowResponses = {
      description = "The slowest 1 % of the requests have taken 100 ms or more for five minutes."
      namespace   = "AWS/ApplicationELB"
      metric      = "TargetResponseTime"
      dimensions  = local.load_balancer_dimensions
      statistic   = "p99"
      threshold   = local.objectives.latency.threshold_seconds
      below       = false
      periods     = 5
    }
    HighCpu = {
      description = "The tasks have used 85 % or more of their CPU for five minutes: autoscaling is at its maximum or lags behind."
      namespace   = "AWS/ECS"
      metric      = "CPUUtilization"
      dimensions  = local.service_dimensions
      statistic   = "Average"
      threshold   = 85
      below       = false
      periods     = 5
    }
    HighMemory = {
      description = "The tasks have used 85 % or more of their memory for five minutes: a memory leak, or a task size that is too small."
      namespace   = "AWS/ECS"
      metric      = "MemoryUtilization"
      dimensions  = local.service_dimensions
      statistic   = "Average"
      threshold   = 85
      below       = false
      periods     = 5
    }
    # The probe (probe.tf) always sends requests.
    NoRequests = {
      description = "No request has arrived for five minutes, not even the probe's: callers cannot reach the service."
      namespace   = "AWS/ApplicationELB"
      metric      = "RequestCount"
      dimensions  = local.load_balancer_dimensions
      statistic   = "Sum"
      threshold   = 1
      below       = true
      periods     = 5
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name_prefix}-${each.key}"
  alarm_description   = "${each.value.description} Runbook: ${local.runbooks}/${each.key}.md"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  comparison_operator = each.value.below ? "LessThanThreshold" : "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.periods
  treat_missing_data  = each.value.below ? "breaching" : "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "unhealthy_tasks" {
  for_each = aws_lb_target_group.this

  alarm_name          = "${var.name_prefix}-UnhealthyTasks-${each.key}"
  alarm_description   = "A task of the ${each.key} target group has failed its health check for three minutes and has not been replaced. Runbook: ${local.runbooks}/UnhealthyTasks.md"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "UnHealthyHostCount"
  dimensions          = merge(local.load_balancer_dimensions, { TargetGroup = each.value.arn_suffix })
  statistic           = "Maximum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# No data means no tasks; of two target groups, only one has tasks.
resource "aws_cloudwatch_metric_alarm" "no_healthy_task" {
  alarm_name          = "${var.name_prefix}-NoHealthyTask"
  alarm_description   = "No task has been healthy for two minutes: the service is down. Runbook: ${local.runbooks}/NoHealthyTask.md"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  evaluation_periods  = 2
  datapoints_to_alarm = 2
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "healthy"
    label       = "Healthy tasks"
    expression  = join(" + ", [for colour in local.target_groups : "FILL(${colour}, 0)"])
    return_data = true
  }

  dynamic "metric_query" {
    for_each = aws_lb_target_group.this

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = "HealthyHostCount"
        dimensions  = merge(local.load_balancer_dimensions, { TargetGroup = metric_query.value.arn_suffix })
        stat        = "Minimum"
        period      = 60
      }
    }
  }
}
