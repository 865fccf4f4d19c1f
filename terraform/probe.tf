# A probe that always sends requests from outside, so that silence is a fault and raises an alarm
# (cloudwatch.tf).

resource "aws_route53_health_check" "this" {
  type = local.https ? "HTTPS" : "HTTP"
  fqdn = local.https ? var.domain.name : aws_lb.this.dns_name
  port = local.listener.port
  # The request reaches the API. The query distinguishes it from the tasks' own health checks, which
  # do not count as callers (services/nginx/includes/metrics.conf).
  resource_path     = "/healthz?probe"
  request_interval  = 30
  failure_threshold = 3
  # The minimum number of regions.
  # https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
  regions = ["eu-west-1", "us-east-1", "us-west-2"]

  tags = { Name = var.name_prefix }

  # Requests without a task are errors, and would use up the error budget of a new service.
  depends_on = [aws_ecs_service.rolling, aws_ecs_service.blue_green]
}
