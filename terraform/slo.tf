# The service levels of observability/slo.yaml as CloudWatch alarms. A page needs both windows over
# the threshold. A ticket has only the long window, because a composite alarm costs as much as five
# metrics; it clears late.

locals {
  service_levels = yamldecode(file("${path.module}/../observability/slo.yaml"))
  objectives     = local.service_levels.objectives

  unit_seconds = { m = 60, h = 3600, d = 86400 }

  # Objective and long window to an alert: the budget is burning at this rate.
  alerts = merge([
    for objective, stated in local.objectives : {
      for rate in local.service_levels.burn_rates : "${objective}-${rate.long}" => merge(rate, {
        objective = objective
        name      = "${title(objective)}BudgetBurn"
        promise   = stated.promise
        # The threshold, as a share of bad requests.
        share = rate.factor * (1 - stated.target)
      })
    }
  ]...)
  pages   = { for name, alert in local.alerts : name => alert if alert.severity == "page" }
  tickets = { for name, alert in local.alerts : name => alert if alert.severity == "ticket" }

  # Objective and window to a metric alarm.
  burn_rates = merge([
    for alert in local.alerts : {
      for window in alert.severity == "page" ? [alert.long, alert.short] : [alert.long] : "${alert.objective}-${window}" => merge(alert, {
        window = window
        # With little traffic one failure is a large share, so the long window needs several. For
        # the short window, one shows that the burn continues.
        least = window == alert.long ? local.service_levels.least_bad_requests : 1
        # CloudWatch's longest period is a day: three days are three days in a row over the threshold.
        seconds = tonumber(regex("^[0-9]+", window)) * local.unit_seconds[regex("[mhd]$", window)]
      })
    }
  ]...)

  # The counts for each objective. A metric is [name, statistic], or with its namespace and
  # dimensions. A metric with nothing to count has no data, which means zero.
  counted = {
    availability = {
      metrics = {
        requests             = ["RequestCount", "Sum"]
        target_errors        = ["HTTPCode_Target_5XX_Count", "Sum"]
        load_balancer_errors = ["HTTPCode_ELB_5XX_Count", "Sum"]
        given_up             = ["GivenUp", "Sum", var.name_prefix, {}]
      }
      bad = "(FILL(target_errors, 0) + FILL(load_balancer_errors, 0) + FILL(given_up, 0))"
      # RequestCount excludes requests without a target.
      every = "(FILL(requests, 0) + FILL(load_balancer_errors, 0))"
    }
    latency = {
      metrics = {
        answers = ["TargetResponseTime", "SampleCount"]
        # The number of responses within this time.
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
        quick = ["TargetResponseTime", "TC(:${local.objectives.latency.threshold_seconds})"]
      }
      bad   = "(FILL(answers, 0) - FILL(quick, 0))"
      every = "FILL(answers, 0)"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "burn_rate" {
  for_each = local.burn_rates

  alarm_name          = "${var.name_prefix}-${title(each.value.objective)}BurnRate-${each.value.window}"
  alarm_description   = "Over ${each.value.window}, the ${each.value.objective} budget is burning at ${each.value.factor} times the sustainable rate. ${each.value.severity == "page" ? "This alarm sends no notification; ${each.value.name}-${each.value.long} does." : each.value.promise} Runbook: ${local.runbooks}/${each.value.name}.md"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.share
  evaluation_periods  = ceil(each.value.seconds / 86400)
  datapoints_to_alarm = ceil(each.value.seconds / 86400)
  treat_missing_data  = "notBreaching"
  alarm_actions       = each.value.severity == "page" ? null : local.notify.ticket
  ok_actions          = each.value.severity == "page" ? null : local.notify.ticket

  metric_query {
    id          = "share"
    label       = "Share of bad requests"
    expression  = "IF(bad >= ${each.value.least}, bad / every, 0)"
    return_data = true
  }

  # `zama status` adds these up over the objective's window to get the rest of the budget.
  metric_query {
    id         = "bad"
    expression = local.counted[each.value.objective].bad
  }
  metric_query {
    id         = "every"
    expression = local.counted[each.value.objective].every
  }

  dynamic "metric_query" {
    for_each = local.counted[each.value.objective].metrics

    content {
      id = metric_query.key

      metric {
        namespace   = try(metric_query.value[2], "AWS/ApplicationELB")
        metric_name = metric_query.value[0]
        dimensions  = try(metric_query.value[3], local.load_balancer_dimensions)
        stat        = metric_query.value[1]
        period      = min(each.value.seconds, 86400)
      }
    }
  }
}

# The long window shows that the burn matters; the short one shows that it continues.
resource "aws_cloudwatch_composite_alarm" "budget_burn" {
  for_each = local.pages

  alarm_name        = "${var.name_prefix}-${each.value.name}-${each.value.long}"
  alarm_description = "The ${local.service_levels.window} ${each.value.objective} budget is burning at ${each.value.factor} times the sustainable rate. ${each.value.promise} Runbook: ${local.runbooks}/${each.value.name}.md"
  alarm_rule = join(" AND ", [
    for window in [each.value.long, each.value.short] :
    "ALARM(\"${aws_cloudwatch_metric_alarm.burn_rate["${each.value.objective}-${window}"].alarm_name}\")"
  ])
  alarm_actions = local.notify.page
  ok_actions    = local.notify.page

  # An outage has its own page, which needs two minutes. Its failures stay in the short window after
  # its end.
  actions_suppressor {
    alarm            = aws_cloudwatch_metric_alarm.computed["NoHealthyTask"].alarm_name
    wait_period      = 180
    extension_period = local.burn_rates["${each.value.objective}-${each.value.short}"].seconds + 120
  }
}
