# The dashboard: alarms, the golden signals, refused requests and the remaining error budgets. Lines
# mark the thresholds of alarms and objectives.

locals {
  load_balancer_metric = ["AWS/ApplicationELB", "LoadBalancer", aws_lb.this.arn_suffix]
  service_metric       = ["AWS/ECS", "ClusterName", aws_ecs_cluster.this.name, "ServiceName", local.service_name]

  # A server error is red, and a caller's error grey.
  colours = {
    HTTPCode_Target_2XX_Count = "#2ca02c"
    HTTPCode_Target_3XX_Count = "#1f77b4"
    HTTPCode_Target_4XX_Count = "#7f7f7f"
    HTTPCode_Target_5XX_Count = "#d62728"
    HTTPCode_ELB_5XX_Count    = "#8c1a1b"
  }

  # Two per row, from the left. A metric is [name, statistic], a line [label, value].
  panels = [
    {
      title   = "Requests, by class of status"
      prefix  = local.load_balancer_metric
      metrics = [["HTTPCode_Target_2XX_Count", "Sum"], ["HTTPCode_Target_3XX_Count", "Sum"], ["HTTPCode_Target_4XX_Count", "Sum"], ["HTTPCode_Target_5XX_Count", "Sum"]]
      stacked = true
      lines   = []
    },
    {
      title   = "Server errors, of the service and of the load balancer itself"
      prefix  = local.load_balancer_metric
      metrics = [["HTTPCode_Target_5XX_Count", "Sum"], ["HTTPCode_ELB_5XX_Count", "Sum"], ["TargetConnectionErrorCount", "Sum"], ["RejectedConnectionCount", "Sum"]]
      stacked = false
      lines   = []
    },
    {
      title   = "Connections: open, new and rejected"
      prefix  = local.load_balancer_metric
      metrics = [["ActiveConnectionCount", "Sum"], ["NewConnectionCount", "Sum"], ["RejectedConnectionCount", "Sum"]]
      stacked = false
      lines   = []
    },
    {
      title   = "Response time, seconds"
      prefix  = local.load_balancer_metric
      metrics = [["TargetResponseTime", "p50"], ["TargetResponseTime", "p95"], ["TargetResponseTime", "p99"]]
      stacked = false
      lines   = [["objective", local.objectives.latency.threshold_seconds]]
    },
    {
      title   = "CPU and memory of the tasks, percent"
      prefix  = local.service_metric
      metrics = [["CPUUtilization", "Average"], ["CPUUtilization", "Maximum"], ["MemoryUtilization", "Average"], ["MemoryUtilization", "Maximum"]]
      stacked = false
      lines   = [["alarm", local.alarms.HighCpu.threshold]]
    },
    {
      # Each task sends one sample a minute.
      # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service_utilization.html
      title   = "Running tasks"
      prefix  = local.service_metric
      metrics = [["CPUUtilization", "SampleCount"]]
      stacked = false
      lines   = [["at least", var.desired_count]]
    },
  ]

  panel_widgets = [
    for panel in local.panels : {
      type = "metric"
      properties = {
        title   = panel.title
        region  = var.region
        view    = "timeSeries"
        stacked = panel.stacked
        legend  = { position = "right" }
        period  = 60
        metrics = [
          for metric in panel.metrics : concat(
            [panel.prefix[0], metric[0]],
            slice(panel.prefix, 1, length(panel.prefix)),
            [merge({ stat = metric[1], label = "${metric[0]} ${metric[1]}" }, try({ color = local.colours[metric[0]] }, {}))],
          )
        ]
        annotations = { horizontal = [for line in panel.lines : { label = line[0], value = line[1] }] }
      }
    }
  ]

  targets_widget = {
    type = "metric"
    properties = {
      title  = "Healthy and unhealthy tasks"
      region = var.region
      view   = "timeSeries"
      legend = { position = "right" }
      period = 60
      metrics = concat([
        for colour, group in aws_lb_target_group.this : [
          for metric in ["HealthyHostCount", "UnHealthyHostCount"] :
          ["AWS/ApplicationELB", metric, "LoadBalancer", aws_lb.this.arn_suffix, "TargetGroup", group.arn_suffix, { stat = "Maximum", label = "${metric} ${colour}" }]
        ]
      ]...)
    }
  }

  refused_widget = {
    type = "log"
    properties = {
      title  = "Refused requests: 401, 403, 429"
      region = var.region
      view   = "timeSeries"
      query  = "SOURCE '${aws_cloudwatch_log_group.this.name}' | ${local.log_queries.refused-over-time}"
    }
  }

  usage_widget = {
    type = "log"
    properties = {
      title  = "Clients, by status: requests and 99th percentile in milliseconds"
      region = var.region
      view   = "table"
      query  = "SOURCE '${aws_cloudwatch_log_group.this.name}' | ${local.log_queries.usage}"
    }
  }

  # Of each container, such as nginx's. The metrics of Container Insights are only of whole tasks, but
  # its log group has a line for each container and minute.
  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-reference-performance-logs-ECS.html
  containers_widget = {
    type = "log"
    properties = {
      title  = "CPU of the containers, in 1/1024 vCPU"
      region = var.region
      view   = "timeSeries"
      query  = "SOURCE '/aws/ecs/containerinsights/${aws_ecs_cluster.this.name}/performance' | filter Type = 'Container' | stats max(CpuUtilized) by ContainerName, bin(1m)"
    }
  }

  # Each widget shows one number: the whole window is one period. The colours are the policy's levels
  # (docs/slo.md).
  budget_widgets = [
    for objective, stated in local.objectives : {
      type = "metric"
      properties = {
        title                = "${title(objective)} budget left of ${local.service_levels.window}, percent"
        region               = var.region
        view                 = "gauge"
        yAxis                = { left = { min = 0, max = 100 } }
        start                = "-P${upper(local.service_levels.window)}"
        end                  = "P0D"
        setPeriodToTimeRange = true
        annotations = { horizontal = [
          { color = "#2ca02c", label = "deploy freely", value = 50, fill = "above" },
          [{ color = "#ff9800", label = "watch each deployment", value = 10 }, { value = 50 }],
          { color = "#d62728", label = "only changes for reliability", value = 10, fill = "below" },
        ] }
        metrics = concat(
          [[{
            id    = "left"
            label = stated.promise
            # An exhausted budget is 0.
            expression = "IF(${local.counted[objective].bad} < ${1 - stated.target} * ${local.counted[objective].every}, 100 * (1 - ${local.counted[objective].bad} / ${local.counted[objective].every} / ${1 - stated.target}), 0)"
          }]],
          [
            for id, metric in local.counted[objective].metrics :
            concat(
              [try(metric[2], "AWS/ApplicationELB"), metric[0]],
              length(metric) > 2 ? [] : ["LoadBalancer", aws_lb.this.arn_suffix],
              [{ id = id, stat = metric[1], visible = false }],
            )
          ],
        )
      }
    }
  ]

  widgets = concat(
    local.budget_widgets, local.panel_widgets, [local.targets_widget, local.refused_widget, local.usage_widget],
    var.container_insights_enabled ? [local.containers_widget] : [],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name_prefix
  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type   = "alarm"
        x      = 0
        y      = 0
        width  = 20
        height = 3
        properties = {
          title = "Alarms"
          alarms = concat(
            values(aws_cloudwatch_composite_alarm.budget_burn)[*].arn,
            [for name, alarm in aws_cloudwatch_metric_alarm.burn_rate : alarm.arn if contains(keys(local.tickets), name)],
            values(aws_cloudwatch_metric_alarm.computed)[*].arn,
            values(aws_cloudwatch_metric_alarm.this)[*].arn,
            values(aws_cloudwatch_metric_alarm.unhealthy_tasks)[*].arn,
            aws_cloudwatch_metric_alarm.certificate_expires[*].arn,
            aws_cloudwatch_metric_alarm.heartbeat[*].arn,
          )
        }
      }],
      [{
        type       = "text"
        x          = 20
        y          = 0
        width      = 4
        height     = 3
        properties = { markdown = "[Runbooks](${local.runbooks})\n\n[Budgets and policy](${dirname(local.runbooks)}/slo.md)" }
      }],
      [
        for number, widget in local.widgets : merge(widget, {
          x      = 12 * (number % 2)
          y      = 3 + 6 * floor(number / 2)
          width  = 12
          height = 6
        })
      ],
    )
  })
}
