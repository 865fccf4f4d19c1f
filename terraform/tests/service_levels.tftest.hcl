# Alarms follow from observability/slo.yaml, and each names a runbook.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "alarms_follow_from_the_objectives_and_name_runbooks" {
  command = plan

  assert {
    condition     = toset(keys(aws_cloudwatch_composite_alarm.budget_burn)) == toset(["availability-1h", "availability-6h", "latency-1h", "latency-6h"])
    error_message = "Both objectives must page for the two fast burn rates; CloudWatch does not support the slow ones."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_composite_alarm.budget_burn : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn]) && alarm.ok_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "A page and its end must be sent to the topic."
  }
  assert {
    condition     = aws_cloudwatch_composite_alarm.budget_burn["availability-1h"].alarm_rule == "ALARM(\"zama-challenge-AvailabilityBurnRate-1h\") AND ALARM(\"zama-challenge-AvailabilityBurnRate-5m\")"
    error_message = "Both windows must be over the threshold."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.burn_rate : alarm.comparison_operator == "GreaterThanThreshold" && alarm.treat_missing_data == "notBreaching" && alarm.evaluation_periods == 1])
    error_message = "A window must fire over its threshold, and not without data."
  }

  # --- Thresholds and windows ---
  assert {
    # 14.4 and 6 times the budgets of 0.1 % and 1 %.
    condition = alltrue([
      for alarm, threshold in { availability-1h = 0.0144, availability-5m = 0.0144, availability-6h = 0.006, availability-30m = 0.006, latency-1h = 0.144, latency-5m = 0.144, latency-6h = 0.06, latency-30m = 0.06 } :
      abs(aws_cloudwatch_metric_alarm.burn_rate[alarm].threshold - threshold) < 0.0000001
    ])
    error_message = "A burn rate's threshold must be its factor times the budget."
  }
  assert {
    condition = alltrue([
      for alarm, seconds in { availability-1h = 3600, availability-5m = 300, latency-6h = 21600, latency-30m = 1800 } :
      toset([for query in aws_cloudwatch_metric_alarm.burn_rate[alarm].metric_query : one(query.metric).period if length(query.metric) > 0]) == toset([seconds])
    ])
    error_message = "A burn rate must be counted over its window."
  }
  assert {
    condition     = contains([for query in aws_cloudwatch_metric_alarm.burn_rate["latency-1h"].metric_query : one(query.metric).stat if length(query.metric) > 0], "TC(:0.1)")
    error_message = "Responses within the objective's 0.1 s must be counted."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.burn_rate : alarm.alarm_actions == null])
    error_message = "One window alone must not notify."
  }
  assert {
    condition     = strcontains(join("", [for query in aws_cloudwatch_metric_alarm.burn_rate["availability-1h"].metric_query : query.expression if query.expression != null]), ">= 5")
    error_message = "Fewer than five bad requests in the long window must not count."
  }

  # --- Silence, which is a fault because the probe always sends requests ---
  assert {
    condition     = aws_route53_health_check.this.resource_path == "/healthz?probe" && aws_route53_health_check.this.type == "HTTP" && aws_route53_health_check.this.request_interval == 30
    error_message = "The probe must reach the API every 30 seconds."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["NoRequests"].comparison_operator == "LessThanThreshold" && aws_cloudwatch_metric_alarm.this["NoRequests"].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.this["NoRequests"].evaluation_periods == 5
    error_message = "Five minutes without data must be an alarm."
  }
  assert {
    condition     = aws_route53_health_check.this.failure_threshold == 3 && length(aws_route53_health_check.this.regions) == 3 && aws_route53_health_check.this.port == 80 && aws_route53_health_check.this.fqdn == aws_lb.this.dns_name
    error_message = "The probe must call the load balancer from three regions."
  }

  # --- Every alarm ---
  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.this), values(aws_cloudwatch_metric_alarm.unhealthy_tasks), values(aws_cloudwatch_metric_alarm.burn_rate), [aws_cloudwatch_metric_alarm.no_healthy_task]) :
      can(regex("Runbook: https://.*/docs/runbooks/[A-Za-z]+\\.md$", alarm.alarm_description))
    ])
    error_message = "Each alarm's description must have the URL of its runbook."
  }
  assert {
    condition = jsonencode({
      for name, alarm in aws_cloudwatch_metric_alarm.this : name => [
        alarm.metric_name, coalesce(alarm.statistic, alarm.extended_statistic), alarm.comparison_operator, alarm.threshold, alarm.period, alarm.evaluation_periods, alarm.datapoints_to_alarm, alarm.treat_missing_data
      ]
      }) == jsonencode({
      ServerErrors       = ["HTTPCode_Target_5XX_Count", "Sum", "GreaterThanOrEqualToThreshold", 5, 60, 1, 1, "notBreaching"]
      LoadBalancerErrors = ["HTTPCode_ELB_5XX_Count", "Sum", "GreaterThanOrEqualToThreshold", 5, 60, 1, 1, "notBreaching"]
      SlowResponses      = ["TargetResponseTime", "p99", "GreaterThanOrEqualToThreshold", 0.1, 60, 5, 5, "notBreaching"]
      HighCpu            = ["CPUUtilization", "Average", "GreaterThanOrEqualToThreshold", 85, 60, 5, 5, "notBreaching"]
      HighMemory         = ["MemoryUtilization", "Average", "GreaterThanOrEqualToThreshold", 85, 60, 5, 5, "notBreaching"]
      NoRequests         = ["RequestCount", "Sum", "LessThanThreshold", 1, 60, 5, 5, "breaching"]
    })
    error_message = "Each alarm must fire on the condition in its runbook."
  }
  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.this), values(aws_cloudwatch_metric_alarm.unhealthy_tasks), [aws_cloudwatch_metric_alarm.no_healthy_task]) :
      alarm.alarm_actions == toset([aws_sns_topic.alarms.arn]) && alarm.ok_actions == toset([aws_sns_topic.alarms.arn])
    ])
    error_message = "Each alarm and its end must be sent to the topic."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.unhealthy_tasks : alarm.metric_name == "UnHealthyHostCount" && alarm.statistic == "Maximum" && alarm.comparison_operator == "GreaterThanOrEqualToThreshold" && alarm.threshold == 1 && alarm.evaluation_periods == 3 && alarm.treat_missing_data == "notBreaching"])
    error_message = "One unhealthy task for three minutes must raise the alarm."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.no_healthy_task.comparison_operator == "LessThanThreshold" && aws_cloudwatch_metric_alarm.no_healthy_task.threshold == 1 && aws_cloudwatch_metric_alarm.no_healthy_task.evaluation_periods == 2 && aws_cloudwatch_metric_alarm.no_healthy_task.treat_missing_data == "breaching" && contains(flatten([for query in aws_cloudwatch_metric_alarm.no_healthy_task.metric_query : query.metric[*].metric_name]), "HealthyHostCount")
    error_message = "Two minutes without a healthy task, or without data, must raise the alarm."
  }

  # --- Dashboard and queries ---
  assert {
    condition     = !contains(one([for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.environment if container.name == "nginx"])[*].name, "METRICS_PORT")
    error_message = "The gateway must not send request lines without a counter."
  }
  assert {
    condition     = alltrue([for name in ["errors", "events", "slowest", "refused", "clients"] : aws_cloudwatch_query_definition.this[name].name == "zama-challenge/${name}"])
    error_message = "Each query must be saved under the deployment's name."
  }
}

run "prometheus_has_the_rules_and_notifies_the_topic" {
  command = plan

  variables {
    managed_prometheus = { collector_tag = "v0.45.0" }
  }

  assert {
    condition     = toset(keys(aws_prometheus_rule_group_namespace.this)) == toset(["service.yaml", "slo.yaml"])
    error_message = "Every file of rules must be loaded."
  }
  assert {
    condition     = toset(yamldecode(yamldecode(aws_prometheus_alert_manager_definition.this[0].definition).alertmanager_config).receivers[*].sns_configs[0].topic_arn) == toset([aws_sns_topic.alarms.arn])
    error_message = "Every receiver must send to the topic."
  }
  assert {
    condition     = contains(one([for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.environment if container.name == "nginx"])[*].name, "METRICS_PORT") && contains(jsondecode(aws_ecs_task_definition.this.container_definitions)[*].name, "gateway-metrics")
    error_message = "The gateway must send its request lines, and the counter must receive them."
  }
  assert {
    condition     = local.collector_configuration.receivers.prometheus.config.scrape_configs[0].static_configs[0].targets == ["127.0.0.1:8080"]
    error_message = "The collector must scrape the API."
  }
  assert {
    condition     = local.collector_configuration.exporters.prometheusremotewrite.endpoint == "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    error_message = "The collector must write to the workspace."
  }
}
