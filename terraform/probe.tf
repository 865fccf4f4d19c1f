# A probe that always sends requests from outside, so that silence is a fault and raises an alarm
# (cloudwatch.tf). Its own alarm also tells of a failing name, certificate or firewall, while other
# callers still get through.

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

# --- Alarm ----------------------------------------------------------------------------------------

# Route 53 publishes its metrics only in this region, and an alarm needs a topic in the same region.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/monitoring-cloudwatch.html
provider "aws" {
  alias  = "us_east_1"
  region = "us-east-1"

  default_tags {
    tags = local.tags
  }
}

resource "aws_cloudwatch_metric_alarm" "probe_failing" {
  provider = aws.us_east_1

  alarm_name          = "${var.name_prefix}-ProbeFailing"
  alarm_description   = "For three minutes, Route 53's probe has got no answer from ${local.https ? var.domain.name : "the load balancer"}: its name, its certificate, a firewall, or the service. Runbook: ${local.runbooks}/ProbeFailing.md"
  namespace           = "AWS/Route53"
  metric_name         = "HealthCheckStatus"
  dimensions          = { HealthCheckId = aws_route53_health_check.this.id }
  statistic           = "Minimum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.probe.arn]
  ok_actions          = [aws_sns_topic.probe.arn]
}

# For tickets: an outage has its page in the service's region.
resource "aws_sns_topic" "probe" {
  # checkov:skip=CKV_AWS_26:The customer's key is in another region, and the message names only the service
  provider = aws.us_east_1

  name = "${var.name_prefix}-alarms-probe"
}

resource "aws_sns_topic_subscription" "probe" {
  provider = aws.us_east_1
  count    = var.alarm_email == null ? 0 : 1

  topic_arn = aws_sns_topic.probe.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}
