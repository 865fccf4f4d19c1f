# What the options add, and that nothing of it is there without them.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image_tag = "1a2b3c4"
}

run "without_options_there_is_the_least" {
  command = plan

  assert {
    condition     = length(aws_vpc.this) + length(aws_wafv2_web_acl.this) + length(aws_kms_key.this) + length(aws_acm_certificate.this) + length(aws_codedeploy_app.this) + length(aws_prometheus_workspace.this) + length(aws_grafana_workspace.this) + length(aws_s3_bucket.access_logs) + length(aws_sns_topic_subscription.email) == 0
    error_message = "Every option must be off by default."
  }
}

run "the_firewall_counts_addresses_and_knows_friend_and_foe" {
  command = plan

  variables {
    waf = { requests_per_5_minutes = 2000, allowed_cidrs = ["192.0.2.0/24"], denied_cidrs = ["198.51.100.0/24"] }
  }

  assert {
    condition     = aws_wafv2_ip_set.this["allowed"].addresses == toset(["192.0.2.0/24"]) && aws_wafv2_ip_set.this["denied"].addresses == toset(["198.51.100.0/24"])
    error_message = "Both lists must be as given."
  }
  assert {
    condition     = one([for rule in aws_wafv2_web_acl.this[0].rule : rule.statement[0].rate_based_statement[0] if rule.name == "rate"]).limit >= 10 && contains([60, 120, 300, 600], one([for rule in aws_wafv2_web_acl.this[0].rule : rule.statement[0].rate_based_statement[0] if rule.name == "rate"]).evaluation_window_sec)
    error_message = "The rate rule must count at least 10 requests in a window that WAF has."
  }
  assert {
    condition     = contains([for rule in aws_wafv2_web_acl.this[0].rule : rule.name], "AWSManagedRulesKnownBadInputsRuleSet") && contains([for rule in aws_wafv2_web_acl.this[0].rule : rule.name], "AWSManagedRulesCommonRuleSet")
    error_message = "AWS's own rules must be among the rules."
  }
  assert {
    condition     = aws_wafv2_web_acl_logging_configuration.this[0].redacted_fields[0].single_header[0].name == "x-api-key"
    error_message = "No key may be logged."
  }
}

run "access_logs_go_to_a_bucket_of_their_own" {
  command = plan

  variables {
    access_logs_enabled = true
  }

  assert {
    condition     = aws_lb.this.access_logs[0].enabled && aws_s3_bucket_public_access_block.access_logs[0].restrict_public_buckets
    error_message = "The load balancer must log to a private bucket."
  }
  assert {
    condition     = one([for statement in data.aws_iam_policy_document.access_logs[0].statement : one(statement.principals).identifiers if statement.sid == "LoadBalancerWrites"]) == toset(["logdelivery.elasticloadbalancing.amazonaws.com"])
    error_message = "Only the load balancer's log delivery may write."
  }
}

run "an_owner_of_an_address_gets_the_alarms" {
  command = plan

  variables {
    alarm_email = "oncall@example.com"
  }

  assert {
    condition     = aws_sns_topic_subscription.email[0].endpoint == "oncall@example.com"
    error_message = "The address must be subscribed."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "Every alarm must be sent to the topic."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["ServerErrors"].threshold == 5 && aws_cloudwatch_metric_alarm.this["ServerErrors"].period == 60 && aws_cloudwatch_metric_alarm.this["ServerErrors"].evaluation_periods == 1
    error_message = "Five server errors in a minute must raise the alarm."
  }
}

run "grafana_reads_prometheus" {
  command = plan

  variables {
    managed_prometheus      = { collector_tag = "v0.45.0" }
    managed_grafana_enabled = true
  }

  assert {
    condition     = toset(aws_grafana_workspace.this[0].data_sources) == toset(["PROMETHEUS", "CLOUDWATCH"])
    error_message = "Grafana must have both sources."
  }
}
