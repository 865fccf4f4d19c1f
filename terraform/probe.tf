# Somebody who always calls, from outside: silence is then a fault, and an alarm (cloudwatch.tf).

resource "aws_route53_health_check" "this" {
  type = local.https ? "HTTPS" : "HTTP"
  fqdn = local.https ? var.domain.name : aws_lb.this.dns_name
  port = local.listener.port
  # The whole way to the API. By its query it is told from the tasks' own health checks, which are no
  # callers (services/nginx/includes/metrics.conf).
  resource_path     = "/healthz?probe"
  request_interval  = 30
  failure_threshold = 3
  # The fewest there may be. https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
  regions = ["eu-west-1", "us-east-1", "us-west-2"]

  tags = { Name = var.name_prefix }
}
