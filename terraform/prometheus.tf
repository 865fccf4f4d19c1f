# Amazon Managed Prometheus with the rules of observability/, and its sources in each task: a
# counter of the gateway's requests, and a collector that scrapes the counter and the API and writes
# to the workspace.

# Created by bootstrap/, because tasks without internet access cannot pull from a public registry.
data "aws_ecr_repository" "collector" {
  count = var.managed_prometheus == null ? 0 : 1

  name = "zama-collector"
}

locals {
  gateway_metrics_port = 9113

  # MiB of memory. A container over its limit is killed and restarted alone, without the task. The
  # API and the gateway share the rest, at least five eighths.
  metrics_memory = { gateway-metrics = 64, collector = min(512, var.task_size.memory / 4) }

  # The collector reads its configuration from AOT_CONFIG_CONTENT, and then ignores --config. It
  # expands `$`, which this configuration therefore must not contain.
  # https://github.com/aws-observability/aws-otel-collector/blob/main/pkg/config/config_factory.go
  # https://aws-otel.github.io/docs/getting-started/prometheus-remote-write-exporter
  collector_configuration = var.managed_prometheus == null ? null : {
    extensions = {
      # The address that the image's /healthcheck calls.
      health_check = { endpoint = "127.0.0.1:13133" }
      sigv4auth    = { region = var.region, service = "aps" }
    }
    receivers = {
      # The jobs of observability/prometheus/prometheus.yaml.
      prometheus = { config = { scrape_configs = [
        for job, port in { api = local.api_port, gateway = local.gateway_metrics_port } : {
          job_name             = job
          scrape_interval      = "30s"
          static_configs       = [{ targets = ["127.0.0.1:${port}"] }]
        }
      ] } }
    }
    processors = {
      # Drops samples before the container's limit is reached.
      memory_limiter = { check_interval = "1s", limit_mib = floor(local.metrics_memory.collector * 0.8) }
      # Distinguishes the tasks' series.
      resourcedetection = { detectors = ["ecs"] }
    }
    exporters = {
      prometheusremotewrite = {
        endpoint                         = "${aws_prometheus_workspace.this[0].prometheus_endpoint}api/v1/remote_write"
        auth                             = { authenticator = "sigv4auth" }
        resource_to_telemetry_conversion = { enabled = true }
      }
    }
    service = {
      extensions = ["health_check", "sigv4auth"]
      pipelines = { metrics = {
        receivers  = ["prometheus"]
        processors = ["memory_limiter", "resourcedetection"]
        exporters  = ["prometheusremotewrite"]
      } }
    }
  }

  # The service continues without these containers, and ECS restarts them.
  metrics_container = merge(local.container, {
    essential     = false
    dependsOn     = [{ containerName = "api", condition = "HEALTHY" }]
    restartPolicy = { enabled = true, restartAttemptPeriod = 60 }
  })

  gateway_metrics_containers = var.managed_prometheus == null ? [] : [merge(local.metrics_container, {
    name        = "gateway-metrics"
    image       = local.images.api
    memory      = local.metrics_memory.gateway-metrics
    user        = local.api_container.user
    entryPoint  = ["python3", "-m", "zama_api.gateway_metrics"]
    healthCheck = local.api_container.healthCheck
    environment = [
      { name = "HOST", value = "127.0.0.1" },
      { name = "PORT", value = tostring(local.gateway_metrics_port) },
    ]
  })]

  collector_containers = var.managed_prometheus == null ? [] : [merge(local.metrics_container, {
    name   = "collector"
    memory = local.metrics_memory.collector
    image  = "${data.aws_ecr_repository.collector[0].repository_url}:${var.managed_prometheus.collector_tag}"
    user   = "10002:10002"
    environment = [
      { name = "AOT_CONFIG_CONTENT", value = jsonencode(local.collector_configuration) },
    ]
    healthCheck = {
      command     = ["CMD", "/healthcheck"]
      interval    = 30
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
  })]

  # For the gateway: the address that receives a line for each request.
  metrics_environment = var.managed_prometheus == null ? [] : [
    { name = "METRICS_PORT", value = tostring(local.gateway_metrics_port) },
  ]
}

resource "aws_prometheus_workspace" "this" {
  count = var.managed_prometheus == null ? 0 : 1

  alias       = var.name_prefix
  kms_key_arn = local.kms_key_arn
}

# --- Rules and alerts -----------------------------------------------------------------------------

locals {
  observability    = "${path.module}/../observability"
  prometheus_rules = var.managed_prometheus == null ? toset([]) : fileset("${local.observability}/prometheus/rules", "*.yaml")

  alertmanager = yamldecode(file("${local.observability}/alertmanager/alertmanager.yaml"))
}

resource "aws_prometheus_rule_group_namespace" "this" {
  for_each = local.prometheus_rules

  name         = trimsuffix(each.key, ".yaml")
  workspace_id = aws_prometheus_workspace.this[0].id
  data         = file("${local.observability}/prometheus/rules/${each.key}")
}

resource "aws_prometheus_alert_manager_definition" "this" {
  count = var.managed_prometheus == null ? 0 : 1

  workspace_id = aws_prometheus_workspace.this[0].id
  definition = yamlencode({
    alertmanager_config = yamlencode(merge(local.alertmanager, {
      receivers = [
        for receiver in local.alertmanager.receivers : merge(receiver, {
          sns_configs = [{
            topic_arn  = aws_sns_topic.alarms[receiver.name].arn
            sigv4      = { region = var.region }
            subject    = "${receiver.name}: {{ .CommonLabels.alertname }} ({{ .Status }})"
            attributes = { severity = receiver.name }
          }]
        })
      ]
    }))
  })

  depends_on = [aws_sns_topic_policy.alarms]
}

# Prometheus sends its heartbeat every five minutes. It ends if the collectors cannot write, a rule of
# the objectives fails, or Alertmanager cannot notify.
# https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
resource "aws_cloudwatch_metric_alarm" "heartbeat" {
  count = var.managed_prometheus == null ? 0 : 1

  alarm_name          = "${var.name_prefix}-Heartbeat"
  alarm_description   = "Prometheus has sent no heartbeat for fifteen minutes: its alerts may not arrive. Runbook: ${local.runbooks}/Heartbeat.md"
  namespace           = "AWS/SNS"
  metric_name         = "NumberOfMessagesPublished"
  dimensions          = { TopicName = aws_sns_topic.alarms["heartbeat"].name }
  statistic           = "Sum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 300
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  treat_missing_data  = "breaching"
  alarm_actions       = local.notify.ticket
  ok_actions          = local.notify.ticket
}
