# Amazon Managed Prometheus, and the collector in each task that scrapes the API and writes there.

# Made by bootstrap/: tasks without a way to the internet cannot pull from a public registry.
data "aws_ecr_repository" "collector" {
  count = var.managed_prometheus == null ? 0 : 1

  name = "zama-collector"
}

locals {
  # https://aws-otel.github.io/docs/getting-started/prometheus-remote-write-exporter
  collector_configuration = var.managed_prometheus == null ? null : {
    extensions = {
      health_check = {}
      sigv4auth    = { region = var.region, service = "aps" }
    }
    receivers = {
      prometheus = { config = { scrape_configs = [{
        job_name        = "api"
        scrape_interval = "30s"
        static_configs  = [{ targets = ["127.0.0.1:${local.api_port}"] }]
      }] } }
    }
    processors = {
      # Tells the tasks' series apart.
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
        processors = ["resourcedetection"]
        exporters  = ["prometheusremotewrite"]
      } }
    }
  }

  collector_containers = var.managed_prometheus == null ? [] : [merge(local.container, {
    name  = "collector"
    image = "${data.aws_ecr_repository.collector[0].repository_url}:${var.managed_prometheus.collector_tag}"
    # Without metrics the service is still a service.
    essential = false
    user      = "10002:10002"
    dependsOn = [{ containerName = "api", condition = "HEALTHY" }]
    environment = [
      { name = "AOT_CONFIG_CONTENT", value = jsonencode(local.collector_configuration) },
    ]
    linuxParameters = { capabilities = { add = [], drop = ["ALL"] } }
    healthCheck = {
      command     = ["CMD", "/healthcheck"]
      interval    = 30
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
  })]
}

resource "aws_prometheus_workspace" "this" {
  count = var.managed_prometheus == null ? 0 : 1

  alias       = var.name_prefix
  kms_key_arn = local.kms_key_arn
}
