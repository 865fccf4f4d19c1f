# Alarms and their topics. The alarms on service levels are in slo.tf, the events of deployments in
# events.tf, and the alarm on the probe in probe.tf.

locals {
  # Each alarm has a runbook in docs/runbooks, under the alarm's name.
  runbooks = local.service_levels.runbooks

  load_balancer_dimensions = { LoadBalancer = aws_lb.this.arn_suffix }
  service_dimensions       = { ClusterName = aws_ecs_cluster.this.name, ServiceName = local.service_name }
  target_group_dimensions = {
    for colour, group in aws_lb_target_group.this : colour => merge(local.load_balancer_dimensions, { TargetGroup = group.arn_suffix })
  }

  # Alarms that indicate a bad version: a deployment that triggers one is rolled back.
  rollback_alarm_names = [for name in ["ServerErrors", "LoadBalancerErrors"] : "${var.name_prefix}-${name}"]
}

# --- Topics ---------------------------------------------------------------------------------------

# A page wakes someone; a ticket waits for the morning. Prometheus's heartbeat has no subscriber: an
# alarm counts its messages.
resource "aws_sns_topic" "alarms" {
  for_each = toset(concat(["page", "ticket"], var.managed_prometheus == null ? [] : ["heartbeat"]))

  name              = "${var.name_prefix}-alarms-${each.key}"
  kms_master_key_id = local.kms_key_arn
}

locals {
  # The actions of an alarm, by severity. Null: the alarm is only a part of a composite alarm.
  notify = { for severity, topic in aws_sns_topic.alarms : severity => [topic.arn] }
}

resource "aws_sns_topic_subscription" "email" {
  for_each = toset(var.alarm_email == null ? [] : ["page", "ticket"])

  topic_arn = aws_sns_topic.alarms[each.key].arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

# The pager confirms the subscription itself.
resource "aws_sns_topic_subscription" "pager" {
  count = var.pager_url == null ? 0 : 1

  topic_arn              = aws_sns_topic.alarms["page"].arn
  protocol               = "https"
  endpoint               = var.pager_url
  endpoint_auto_confirms = true
}

resource "aws_sns_topic_policy" "alarms" {
  for_each = aws_sns_topic.alarms

  arn    = each.value.arn
  policy = data.aws_iam_policy_document.alarms[each.key].json
}

data "aws_iam_policy_document" "alarms" {
  for_each = aws_sns_topic.alarms

  statement {
    sid       = "Publish"
    actions   = ["sns:Publish"]
    resources = [each.value.arn]
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

  # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sns-permissions
  statement {
    sid       = "PublishEvents"
    actions   = ["sns:Publish"]
    resources = [each.value.arn]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.deployment_rule_arn]
    }
  }
}

# --- Counted from the log -------------------------------------------------------------------------

locals {
  # The load balancer does not count these. A metric costs nothing in an hour without such lines.
  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
  counted_lines = {
    # Operations with a wrong key. Without a key, the status is 401; the internet scans without one.
    RefusedKeys = "{ $.service = \"nginx\" && $.method = \"POST\" && $.status = 403 }"
    # Operations with a valid key. A request over the limit may have any key.
    AcceptedKeys = "{ $.service = \"nginx\" && $.method = \"POST\" && $.status != 401 && $.status != 403 && $.status != 429 }"
    # The caller gave up after more than a second.
    GivenUp = "{ $.service = \"nginx\" && $.status = 499 && $.upstream_ms >= 1000 }"
  }
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.counted_lines

  name           = "${var.name_prefix}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = each.value

  metric_transformation {
    namespace = var.name_prefix
    name      = each.key
    value     = "1"
  }
}

# --- Alarms on one metric -------------------------------------------------------------------------

locals {
  # Name to metric. An alarm fires after `periods` minutes in a row at or above the threshold, or
  # under it if `below` is set. With `below`, missing data fires as well; otherwise it is a quiet
  # minute.
  alarms = {
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
    # Each task sends one sample a minute.
    AutoscalingAtMaximum = {
      description = "Autoscaling has run its maximum of ${var.autoscaling.max_count} tasks for fifteen minutes and cannot add more."
      namespace   = "AWS/ECS"
      metric      = "CPUUtilization"
      dimensions  = local.service_dimensions
      statistic   = "SampleCount"
      threshold   = var.autoscaling.max_count
      below       = false
      periods     = 15
    }
    ConnectionsRejected = {
      description = "The load balancer has rejected connections for five minutes, because it has too many."
      namespace   = "AWS/ApplicationELB"
      metric      = "RejectedConnectionCount"
      dimensions  = local.load_balancer_dimensions
      statistic   = "Sum"
      threshold   = 1
      below       = false
      periods     = 5
    }
    # The probe's requests are in the log as well.
    LogsMissing = {
      description = "The log group has received no line for fifteen minutes, although the probe calls continuously."
      namespace   = "AWS/Logs"
      metric      = "IncomingLogEvents"
      dimensions  = { LogGroupName = aws_cloudwatch_log_group.this.name }
      statistic   = "Sum"
      threshold   = 1
      below       = true
      periods     = 15
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  # A service that cannot grow is always at its maximum.
  for_each = { for name, alarm in local.alarms : name => alarm if name != "AutoscalingAtMaximum" || var.autoscaling.max_count > var.desired_count }

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
  alarm_actions       = local.notify.ticket
  ok_actions          = local.notify.ticket
}

resource "aws_cloudwatch_metric_alarm" "unhealthy_tasks" {
  for_each = local.target_group_dimensions

  alarm_name          = "${var.name_prefix}-UnhealthyTasks-${each.key}"
  alarm_description   = "A task of the ${each.key} target group has failed its health check for three minutes and has not been replaced. Runbook: ${local.runbooks}/UnhealthyTasks.md"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "UnHealthyHostCount"
  dimensions          = each.value
  statistic           = "Maximum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.notify.ticket
  ok_actions          = local.notify.ticket
}

# ACM renews a certificate 60 days before it expires, and reports its age twice a day.
# https://docs.aws.amazon.com/acm/latest/userguide/cloudwatch-metrics.html
resource "aws_cloudwatch_metric_alarm" "certificate_expires" {
  count = local.https ? 1 : 0

  alarm_name          = "${var.name_prefix}-CertificateExpires"
  alarm_description   = "The certificate expires within 30 days, and ACM has not renewed it. Runbook: ${local.runbooks}/CertificateExpires.md"
  namespace           = "AWS/CertificateManager"
  metric_name         = "DaysToExpiry"
  dimensions          = { CertificateArn = aws_acm_certificate.this[0].arn }
  statistic           = "Maximum"
  comparison_operator = "LessThanThreshold"
  threshold           = 30
  period              = 86400
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "ignore"
  alarm_actions       = local.notify.ticket
  ok_actions          = local.notify.ticket
}

# --- Alarms on several metrics --------------------------------------------------------------------

locals {
  # FILL: without a request or an error, the load balancer sends no data, which means zero.
  # A share needs several failures, because with little traffic one is a large share. Each target
  # group is judged by its own requests, because a canary has only a tenth of all.
  failing = {
    for colour in local.target_groups :
    colour => "IF(FILL(${colour}_errors, 0) >= 3, IF(FILL(${colour}_errors, 0) >= 0.05 * FILL(${colour}_requests, 0), 1, 0), 0)"
  }

  # The number of healthy tasks. Of two target groups, one has no tasks and no data.
  healthy_tasks = {
    metrics    = { for colour, dimensions in local.target_group_dimensions : colour => ["AWS/ApplicationELB", "HealthyHostCount", dimensions, "Maximum"] }
    expression = "MAX([${join(", ", local.target_groups)}])"
  }

  # Name to metrics and expression. A metric is [namespace, name, dimensions, statistic]. An alarm
  # fires if `datapoints` of the last `periods` values are at or above the threshold, or under it if
  # `below` is set. Missing values count as `missing`.
  computed_alarms = merge({
    # The newest minute often has no data yet, so a single minute without data is no outage.
    NoHealthyTask = {
      description = "No task has been healthy for two minutes: the service is down."
      severity    = "page"
      metrics     = local.healthy_tasks.metrics
      expression  = local.healthy_tasks.expression
      below       = true
      threshold   = 1
      period      = 60
      periods     = 3
      datapoints  = 2
      missing     = "breaching"
    }
    # NoHealthyTask tells that all are missing.
    TasksMissing = {
      description = "Fewer tasks than the minimum of ${var.desired_count} have been healthy for fifteen minutes: tasks do not start, or do not become healthy."
      severity    = "ticket"
      metrics     = local.healthy_tasks.metrics
      expression  = local.healthy_tasks.expression
      below       = true
      threshold   = var.desired_count
      period      = 60
      periods     = 15
      datapoints  = 15
      missing     = "notBreaching"
    }
    # The probe (probe.tf) always sends requests. RequestCount excludes requests without a task.
    NoRequests = {
      description = "No request has arrived for five minutes, not even the probe's: callers cannot reach the service."
      severity    = "page"
      metrics = {
        requests             = ["AWS/ApplicationELB", "RequestCount", local.load_balancer_dimensions, "Sum"]
        load_balancer_errors = ["AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", local.load_balancer_dimensions, "Sum"]
      }
      expression = "FILL(requests, 0) + FILL(load_balancer_errors, 0)"
      below      = true
      threshold  = 1
      period     = 60
      periods    = 6
      datapoints = 5
      missing    = "breaching"
    }
    ServerErrors = {
      description = "Of the requests of five minutes to one of the target groups, 5 % or more, and at least 3, were answered with a 5xx."
      severity    = "ticket"
      metrics = merge([
        for colour, dimensions in local.target_group_dimensions : {
          "${colour}_errors"   = ["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", dimensions, "Sum"]
          "${colour}_requests" = ["AWS/ApplicationELB", "RequestCount", dimensions, "Sum"]
        }
      ]...)
      # The number of target groups that fail.
      expression = join(" + ", values(local.failing))
      below      = false
      threshold  = 1
      period     = 300
      periods    = 1
      datapoints = 1
      missing    = "notBreaching"
    }
    LoadBalancerErrors = {
      description = "The load balancer itself answered 5 % or more of the requests of five minutes, and at least 3, with a 5xx: no task is healthy, or connections to tasks failed."
      severity    = "ticket"
      metrics = {
        requests = ["AWS/ApplicationELB", "RequestCount", local.load_balancer_dimensions, "Sum"]
        errors   = ["AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", local.load_balancer_dimensions, "Sum"]
      }
      expression = "IF(FILL(errors, 0) >= 3, FILL(errors, 0) / (FILL(requests, 0) + FILL(errors, 0)), 0)"
      below      = false
      threshold  = 0.05
      period     = 300
      periods    = 1
      datapoints = 1
      missing    = "notBreaching"
    }
    KeysRefused = {
      description = "For ten minutes, most requests with a key, and at least 20 in five minutes, had a wrong one."
      severity    = "page"
      metrics = {
        refused  = [var.name_prefix, "RefusedKeys", {}, "Sum"]
        accepted = [var.name_prefix, "AcceptedKeys", {}, "Sum"]
      }
      expression = "IF(FILL(refused, 0) >= 20, FILL(refused, 0) / (FILL(refused, 0) + FILL(accepted, 0)), 0)"
      below      = false
      threshold  = 0.5
      period     = 300
      periods    = 2
      datapoints = 2
      missing    = "notBreaching"
    }
    },
    # Scanners also fail; a real caller keeps its connection.
    !local.https ? {} : { HandshakesFailing = {
      description = "For ten minutes, half of the TLS handshakes, and at least 20 in five minutes, failed: the certificate or the TLS policy does not suit the callers."
      severity    = "ticket"
      metrics = {
        failed      = ["AWS/ApplicationELB", "ClientTLSNegotiationErrorCount", local.load_balancer_dimensions, "Sum"]
        connections = ["AWS/ApplicationELB", "NewConnectionCount", local.load_balancer_dimensions, "Sum"]
      }
      expression = "IF(FILL(failed, 0) >= 20, FILL(failed, 0) / (FILL(failed, 0) + FILL(connections, 0)), 0)"
      below      = false
      threshold  = 0.5
      period     = 300
      periods    = 2
      datapoints = 2
      missing    = "notBreaching"
    } },
    var.waf == null ? {} : { FirewallBlocks = {
      description = "For ten minutes, the firewall blocked a tenth of the requests, and at least 100 in five minutes: an attack, or a rule that blocks real callers."
      severity    = "ticket"
      metrics = {
        blocked = ["AWS/WAFV2", "BlockedRequests", { WebACL = var.name_prefix, Rule = "ALL", Region = var.region }, "Sum"]
        allowed = ["AWS/WAFV2", "AllowedRequests", { WebACL = var.name_prefix, Rule = "ALL", Region = var.region }, "Sum"]
      }
      expression = "IF(FILL(blocked, 0) >= 100, FILL(blocked, 0) / (FILL(blocked, 0) + FILL(allowed, 0)), 0)"
      below      = false
      threshold  = 0.1
      period     = 300
      periods    = 2
      datapoints = 2
      missing    = "notBreaching"
    } },
  )
}

resource "aws_cloudwatch_metric_alarm" "computed" {
  for_each = local.computed_alarms

  alarm_name          = "${var.name_prefix}-${each.key}"
  alarm_description   = "${each.value.description} Runbook: ${local.runbooks}/${each.key}.md"
  comparison_operator = each.value.below ? "LessThanThreshold" : "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.datapoints
  treat_missing_data  = each.value.missing
  alarm_actions       = local.notify[each.value.severity]
  ok_actions          = local.notify[each.value.severity]

  metric_query {
    id          = "value"
    label       = each.key
    expression  = each.value.expression
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.metrics

    content {
      id = metric_query.key

      metric {
        namespace   = metric_query.value[0]
        metric_name = metric_query.value[1]
        dimensions  = metric_query.value[2]
        stat        = metric_query.value[3]
        period      = each.value.period
      }
    }
  }
}
