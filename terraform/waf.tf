# The web application firewall, a coarse first limit. It counts over minutes and with a delay, so
# the gateway remains the exact limiter.

resource "aws_wafv2_ip_set" "this" {
  for_each = var.waf == null ? {} : { allowed = var.waf.allowed_cidrs, denied = var.waf.denied_cidrs }

  name               = "${var.name_prefix}-${each.key}"
  scope              = "REGIONAL"
  ip_address_version = "IPV4"
  addresses          = each.value
}

resource "aws_wafv2_web_acl" "this" {
  # checkov:skip=CKV_AWS_192:AWSManagedRulesKnownBadInputsRuleSet is a dynamic rule, which the check cannot see
  count = var.waf == null ? 0 : 1

  name  = var.name_prefix
  scope = "REGIONAL"

  default_action {
    allow {}
  }

  # --- Networks ---------------------------------------------------------------------------------

  rule {
    name     = "allowed-addresses"
    priority = 0

    action {
      allow {}
    }

    statement {
      ip_set_reference_statement {
        arn = aws_wafv2_ip_set.this["allowed"].arn
      }
    }

    visibility_config {
      metric_name                = "allowed-addresses"
      cloudwatch_metrics_enabled = true
      sampled_requests_enabled   = true
    }
  }

  rule {
    name     = "denied-addresses"
    priority = 1

    action {
      block {}
    }

    statement {
      ip_set_reference_statement {
        arn = aws_wafv2_ip_set.this["denied"].arn
      }
    }

    visibility_config {
      metric_name                = "denied-addresses"
      cloudwatch_metrics_enabled = true
      sampled_requests_enabled   = true
    }
  }

  # --- Rate -------------------------------------------------------------------------------------

  rule {
    name     = "rate"
    priority = 2

    action {
      block {
        custom_response {
          response_code = 429

          response_header {
            name  = "Retry-After"
            value = "300"
          }
        }
      }
    }

    statement {
      rate_based_statement {
        limit                 = var.waf.requests_per_5_minutes
        evaluation_window_sec = 300
        aggregate_key_type    = "IP"
      }
    }

    visibility_config {
      metric_name                = "rate"
      cloudwatch_metrics_enabled = true
      sampled_requests_enabled   = true
    }
  }

  # --- Content ----------------------------------------------------------------------------------

  # https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-list.html
  dynamic "rule" {
    for_each = {
      AWSManagedRulesAmazonIpReputationList = 3
      AWSManagedRulesKnownBadInputsRuleSet  = 4
      AWSManagedRulesCommonRuleSet          = 5
    }

    content {
      name     = rule.key
      priority = rule.value

      override_action {
        none {}
      }

      statement {
        managed_rule_group_statement {
          vendor_name = "AWS"
          name        = rule.key
        }
      }

      visibility_config {
        metric_name                = rule.key
        cloudwatch_metrics_enabled = true
        sampled_requests_enabled   = true
      }
    }
  }

  visibility_config {
    metric_name                = var.name_prefix
    cloudwatch_metrics_enabled = true
    sampled_requests_enabled   = true
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  count = var.waf == null ? 0 : 1

  resource_arn = aws_lb.this.arn
  web_acl_arn  = aws_wafv2_web_acl.this[0].arn
}

# --- Log ------------------------------------------------------------------------------------------

# WAF writes only to log groups with this prefix.
# https://docs.aws.amazon.com/waf/latest/developerguide/logging-cw-logs.html
resource "aws_cloudwatch_log_group" "waf" {
  # checkov:skip=CKV_AWS_338:As aws_cloudwatch_log_group.this
  count = var.waf == null ? 0 : 1

  name              = "aws-waf-logs-${var.name_prefix}"
  retention_in_days = var.log_retention_days
  kms_key_id        = local.kms_key_arn
}

resource "aws_wafv2_web_acl_logging_configuration" "this" {
  count = var.waf == null ? 0 : 1

  resource_arn            = aws_wafv2_web_acl.this[0].arn
  log_destination_configs = [aws_cloudwatch_log_group.waf[0].arn]

  # A key in a log is a leaked key.
  redacted_fields {
    single_header {
      name = "x-api-key"
    }
  }

  # Allowed requests are in the gateway's own log.
  logging_filter {
    default_behavior = "DROP"

    filter {
      behavior    = "KEEP"
      requirement = "MEETS_ANY"

      condition {
        action_condition {
          action = "BLOCK"
        }
      }
    }
  }
}
