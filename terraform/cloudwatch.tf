# Alarms, the topic that they are sent to, and the dashboard.

locals {
  load_balancer_dimensions = { LoadBalancer = aws_lb.this.arn_suffix }
  service_dimensions       = { ClusterName = aws_ecs_cluster.this.name, ServiceName = local.service_name }

  # Those that say that a new version is bad: a deployment that sees one is rolled back.
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

# --- Alarms ---------------------------------------------------------------------------------------

locals {
  # Name to what is measured. `periods` of a minute in a row; a missing value is a quiet minute.
  alarms = {
    ServerErrors = {
      description = "The service answered 5 or more requests with a 5xx within a minute."
      namespace   = "AWS/ApplicationELB"
      metric      = "HTTPCode_Target_5XX_Count"
      dimensions  = local.load_balancer_dimensions
      statistic   = "Sum"
      threshold   = 5
      periods     = 1
    }
    LoadBalancerErrors = {
      description = "The load balancer itself answered 5 or more requests with a 5xx within a minute: no healthy task, or connections that broke."
      namespace   = "AWS/ApplicationELB"
      metric      = "HTTPCode_ELB_5XX_Count"
      dimensions  = local.load_balancer_dimensions
      statistic   = "Sum"
      threshold   = 5
      periods     = 1
    }
    SlowResponses = {
      description = "For five minutes one request in a hundred has taken 100 ms or more."
      namespace   = "AWS/ApplicationELB"
      metric      = "TargetResponseTime"
      dimensions  = local.load_balancer_dimensions
      statistic   = "p99"
      threshold   = 0.1
      periods     = 5
    }
    HighCpu = {
      description = "The tasks have used 85 % or more of their CPU for five minutes: autoscaling is at its limit or lags behind."
      namespace   = "AWS/ECS"
      metric      = "CPUUtilization"
      dimensions  = local.service_dimensions
      statistic   = "Average"
      threshold   = 85
      periods     = 5
    }
    HighMemory = {
      description = "The tasks have used 85 % or more of their memory for five minutes: a leak, or a size too small."
      namespace   = "AWS/ECS"
      metric      = "MemoryUtilization"
      dimensions  = local.service_dimensions
      statistic   = "Average"
      threshold   = 85
      periods     = 5
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name_prefix}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.periods
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "unhealthy_tasks" {
  for_each = aws_lb_target_group.this

  alarm_name          = "${var.name_prefix}-UnhealthyTasks-${each.key}"
  alarm_description   = "A task of the ${each.key} target group has failed its health check for three minutes and was not replaced."
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

# No data means no task, and of two target groups only one has tasks.
resource "aws_cloudwatch_metric_alarm" "no_healthy_task" {
  alarm_name          = "${var.name_prefix}-NoHealthyTask"
  alarm_description   = "No task has been healthy for two minutes: nobody is served."
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

# --- Dashboard ------------------------------------------------------------------------------------

locals {
  load_balancer_metric = ["AWS/ApplicationELB", "LoadBalancer", aws_lb.this.arn_suffix]
  service_metric       = ["AWS/ECS", "ClusterName", aws_ecs_cluster.this.name, "ServiceName", local.service_name]

  # Two in a row, from the left. A metric is [name, statistic].
  panels = [
    {
      title   = "Requests, by class of status"
      prefix  = local.load_balancer_metric
      metrics = [["HTTPCode_Target_2XX_Count", "Sum"], ["HTTPCode_Target_4XX_Count", "Sum"], ["HTTPCode_Target_5XX_Count", "Sum"]]
      stacked = true
    },
    {
      title   = "Errors of the load balancer itself"
      prefix  = local.load_balancer_metric
      metrics = [["HTTPCode_ELB_5XX_Count", "Sum"], ["TargetConnectionErrorCount", "Sum"], ["RejectedConnectionCount", "Sum"]]
      stacked = false
    },
    {
      title   = "Response time, seconds"
      prefix  = local.load_balancer_metric
      metrics = [["TargetResponseTime", "p50"], ["TargetResponseTime", "p95"], ["TargetResponseTime", "p99"]]
      stacked = false
    },
    {
      title   = "CPU and memory of the tasks, percent"
      prefix  = local.service_metric
      metrics = [["CPUUtilization", "Average"], ["CPUUtilization", "Maximum"], ["MemoryUtilization", "Average"], ["MemoryUtilization", "Maximum"]]
      stacked = false
    },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name_prefix
  dashboard_body = jsonencode({
    widgets = concat([
      for number, panel in local.panels : {
        type   = "metric"
        x      = 12 * (number % 2)
        y      = 6 * floor(number / 2)
        width  = 12
        height = 6
        properties = {
          title   = panel.title
          region  = var.region
          view    = "timeSeries"
          stacked = panel.stacked
          period  = 60
          metrics = [
            for metric in panel.metrics : concat(
              [panel.prefix[0], metric[0]],
              slice(panel.prefix, 1, length(panel.prefix)),
              [{ stat = metric[1], label = "${metric[0]} ${metric[1]}" }],
            )
          ]
        }
      }
      ], [
      {
        type   = "metric"
        x      = 0
        y      = 12
        width  = 12
        height = 6
        properties = {
          title  = "Healthy and unhealthy tasks"
          region = var.region
          view   = "timeSeries"
          period = 60
          metrics = concat([
            for colour, group in aws_lb_target_group.this : [
              for metric in ["HealthyHostCount", "UnHealthyHostCount"] :
              ["AWS/ApplicationELB", metric, "LoadBalancer", aws_lb.this.arn_suffix, "TargetGroup", group.arn_suffix, { stat = "Maximum", label = "${metric} ${colour}" }]
            ]
          ]...)
        }
      },
      {
        type   = "log"
        x      = 12
        y      = 12
        width  = 12
        height = 6
        properties = {
          title  = "Refused requests: 401, 403, 429"
          region = var.region
          view   = "timeSeries"
          query  = "SOURCE '${aws_cloudwatch_log_group.this.name}' | filter service = 'nginx' and status in [401, 403, 429] | stats count(*) by status, bin(1m)"
        }
      },
    ])
  })
}
