# Alarms follow from observability/slo.yaml, and each names a runbook.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

mock_provider "aws" {
  alias           = "us_east_1"
  source          = "./tests/mocks"
  override_during = plan
}

override_resource {
  target          = aws_sns_topic.alarms["page"]
  override_during = plan
  values          = { arn = "arn:aws:sns:eu-west-1:123456789012:page" }
}

override_resource {
  target          = aws_sns_topic.alarms["ticket"]
  override_during = plan
  values          = { arn = "arn:aws:sns:eu-west-1:123456789012:ticket" }
}

run "alarms_follow_from_the_objectives_and_name_runbooks" {
  command = plan

  assert {
    condition     = toset(keys(aws_cloudwatch_composite_alarm.budget_burn)) == toset(["availability-1h", "availability-6h", "latency-1h", "latency-6h"])
    error_message = "Both objectives must page for the two fast burn rates."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_composite_alarm.budget_burn : alarm.alarm_actions == toset([aws_sns_topic.alarms["page"].arn]) && alarm.ok_actions == toset([aws_sns_topic.alarms["page"].arn])])
    error_message = "A page and its end must be sent to the topic for pages."
  }
  assert {
    condition = jsonencode({
      for name, alarm in aws_cloudwatch_composite_alarm.budget_burn : name => one(alarm.actions_suppressor)
      }) == jsonencode({
      for name, seconds in { availability-1h = 420, availability-6h = 1920, latency-1h = 420, latency-6h = 1920 } :
      name => { alarm = "zama-challenge-NoHealthyTask", extension_period = seconds, wait_period = 180 }
    })
    error_message = "An outage must have only its own page, until its failures have left the short window."
  }
  assert {
    condition     = aws_cloudwatch_composite_alarm.budget_burn["availability-1h"].alarm_rule == "ALARM(\"zama-challenge-AvailabilityBurnRate-1h\") AND ALARM(\"zama-challenge-AvailabilityBurnRate-5m\")"
    error_message = "Both windows must be over the threshold."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.burn_rate : alarm.comparison_operator == "GreaterThanThreshold" && alarm.treat_missing_data == "notBreaching"])
    error_message = "A window must fire over its threshold, and not without data."
  }

  # --- Thresholds and windows ---
  assert {
    # 14.4, 6, 3 and 1 times the budgets of 0.1 % and 1 %.
    condition = alltrue([
      for alarm, threshold in { availability-1h = 0.0144, availability-5m = 0.0144, availability-6h = 0.006, availability-30m = 0.006, latency-1h = 0.144, latency-5m = 0.144, latency-6h = 0.06, latency-30m = 0.06, availability-1d = 0.003, availability-3d = 0.001, latency-1d = 0.03, latency-3d = 0.01 } :
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
    condition = jsonencode({
      for name in ["availability-1h", "availability-1d", "availability-3d"] :
      name => [for query in aws_cloudwatch_metric_alarm.burn_rate[name].metric_query : one(query.metric).period * aws_cloudwatch_metric_alarm.burn_rate[name].evaluation_periods if length(query.metric) > 0][0]
    }) == jsonencode({ availability-1h = 3600, availability-1d = 86400, availability-3d = 259200 })
    error_message = "Three days are three periods, because CloudWatch's longest is a day."
  }
  assert {
    condition     = contains([for query in aws_cloudwatch_metric_alarm.burn_rate["latency-1h"].metric_query : one(query.metric).stat if length(query.metric) > 0], "TC(:0.1)")
    error_message = "Responses within the objective's 0.1 s must be counted."
  }
  assert {
    condition     = alltrue([for name, alarm in aws_cloudwatch_metric_alarm.burn_rate : endswith(name, "d") ? alarm.alarm_actions == toset([aws_sns_topic.alarms["ticket"].arn]) : alarm.alarm_actions == null])
    error_message = "One window alone must not page, and a slow burn must be a ticket."
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
    condition     = aws_cloudwatch_metric_alarm.probe_failing.metric_name == "HealthCheckStatus" && aws_cloudwatch_metric_alarm.probe_failing.treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.probe_failing.alarm_actions == toset([aws_sns_topic.probe.arn])
    error_message = "A probe without an answer must be an alarm."
  }
  assert {
    condition     = aws_route53_health_check.this.failure_threshold == 3 && length(aws_route53_health_check.this.regions) == 3 && aws_route53_health_check.this.port == 80 && aws_route53_health_check.this.fqdn == aws_lb.this.dns_name
    error_message = "The probe must call the load balancer from three regions."
  }

  # --- Every alarm ---
  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.this), values(aws_cloudwatch_metric_alarm.unhealthy_tasks), values(aws_cloudwatch_metric_alarm.burn_rate), values(aws_cloudwatch_metric_alarm.computed), [aws_cloudwatch_metric_alarm.probe_failing]) :
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
      SlowResponses        = ["TargetResponseTime", "p99", "GreaterThanOrEqualToThreshold", 0.1, 60, 5, 5, "notBreaching"]
      HighCpu              = ["CPUUtilization", "Average", "GreaterThanOrEqualToThreshold", 85, 60, 5, 5, "notBreaching"]
      HighMemory           = ["MemoryUtilization", "Average", "GreaterThanOrEqualToThreshold", 85, 60, 5, 5, "notBreaching"]
      AutoscalingAtMaximum = ["CPUUtilization", "SampleCount", "GreaterThanOrEqualToThreshold", 10, 60, 15, 15, "notBreaching"]
      ConnectionsRejected  = ["RejectedConnectionCount", "Sum", "GreaterThanOrEqualToThreshold", 1, 60, 5, 5, "notBreaching"]
      LogsMissing          = ["IncomingLogEvents", "Sum", "LessThanThreshold", 1, 60, 15, 15, "breaching"]
    })
    error_message = "Each alarm must fire on the condition in its runbook."
  }
  assert {
    condition = jsonencode({
      for name, alarm in aws_cloudwatch_metric_alarm.computed : name => [
        one([for query in alarm.metric_query : query.expression if query.return_data == true]), alarm.comparison_operator, alarm.threshold, distinct(compact([for query in alarm.metric_query : try(one(query.metric).period, "")])), alarm.evaluation_periods, alarm.datapoints_to_alarm, alarm.treat_missing_data, endswith(one(alarm.alarm_actions), "page"), alarm.ok_actions == alarm.alarm_actions
      ]
      }) == jsonencode({
      NoHealthyTask      = ["MAX([blue])", "LessThanThreshold", 1, ["60"], 3, 2, "breaching", true, true]
      TasksMissing       = ["MAX([blue])", "LessThanThreshold", 2, ["60"], 15, 15, "notBreaching", false, true]
      NoRequests         = ["FILL(requests, 0) + FILL(load_balancer_errors, 0)", "LessThanThreshold", 1, ["60"], 6, 5, "breaching", true, true]
      ServerErrors       = ["IF(FILL(blue_errors, 0) >= 3, IF(FILL(blue_errors, 0) >= 0.05 * FILL(blue_requests, 0), 1, 0), 0)", "GreaterThanOrEqualToThreshold", 1, ["300"], 1, 1, "notBreaching", false, true]
      LoadBalancerErrors = ["IF(FILL(errors, 0) >= 3, FILL(errors, 0) / (FILL(requests, 0) + FILL(errors, 0)), 0)", "GreaterThanOrEqualToThreshold", 0.05, ["300"], 1, 1, "notBreaching", false, true]
      KeysRefused        = ["IF(FILL(refused, 0) >= 20, FILL(refused, 0) / (FILL(refused, 0) + FILL(accepted, 0)), 0)", "GreaterThanOrEqualToThreshold", 0.5, ["300"], 2, 2, "notBreaching", true, true]
    })
    error_message = "Each computed alarm must fire on the condition in its runbook, with its severity."
  }
  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.this), values(aws_cloudwatch_metric_alarm.unhealthy_tasks)) :
      alarm.alarm_actions == toset([aws_sns_topic.alarms["ticket"].arn]) && alarm.ok_actions == toset([aws_sns_topic.alarms["ticket"].arn])
    ])
    error_message = "Each alarm and its end must be sent to the topic."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.unhealthy_tasks : alarm.metric_name == "UnHealthyHostCount" && alarm.statistic == "Maximum" && alarm.comparison_operator == "GreaterThanOrEqualToThreshold" && alarm.threshold == 1 && alarm.evaluation_periods == 3 && alarm.treat_missing_data == "notBreaching"])
    error_message = "One unhealthy task for three minutes must raise the alarm."
  }
  assert {
    condition     = strcontains(aws_cloudwatch_event_rule.deployments.event_pattern, "SERVICE_DEPLOYMENT_FAILED") && aws_cloudwatch_event_target.deployments.arn == aws_sns_topic.alarms["ticket"].arn
    error_message = "A failed deployment must become a ticket."
  }
  assert {
    condition     = [for one in jsondecode(aws_cloudwatch_event_rule.deployments.event_pattern)["$or"] : one.detail if contains(one.detail-type, "ECS Task State Change")][0].containers.lastStatus == ["STOPPED"]
    error_message = "A container that stops in a running task must become a ticket."
  }
  assert {
    condition     = toset([for filter in aws_cloudwatch_log_metric_filter.this : filter.metric_transformation[0].name]) == toset(["RefusedKeys", "AcceptedKeys", "GivenUp"]) && !strcontains(aws_cloudwatch_log_metric_filter.this["RefusedKeys"].pattern, "401")
    error_message = "Refused keys must be counted without requests that have no key."
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

run "prometheus_has_the_rules_and_notifies_the_topics" {
  command = plan

  variables {
    managed_prometheus = { collector_tag = "v0.45.0" }
  }

  assert {
    condition     = toset(keys(aws_prometheus_rule_group_namespace.this)) == toset(["service.yaml", "slo.yaml"])
    error_message = "Every file of rules must be loaded."
  }
  assert {
    condition     = { for receiver in yamldecode(yamldecode(aws_prometheus_alert_manager_definition.this[0].definition).alertmanager_config).receivers : receiver.name => receiver.sns_configs[0].topic_arn } == { for severity, topic in aws_sns_topic.alarms : severity => topic.arn }
    error_message = "Every receiver must send to the topic of its severity."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.heartbeat[0].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.heartbeat[0].dimensions.TopicName == "zama-challenge-alarms-heartbeat" && aws_cloudwatch_metric_alarm.heartbeat[0].alarm_actions == toset([aws_sns_topic.alarms["ticket"].arn])
    error_message = "A heartbeat that ends must become a ticket."
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
