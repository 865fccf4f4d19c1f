# The web application firewall, a coarse first limit. It counts over minutes and with a delay, so
# the gateway remains the exact limiter. Samples of requests are off, because they would contain the
# key: redaction applies only to the log.
# https://docs.aws.amazon.com/waf/latest/APIReference/API_VisibilityConfig.html

locals {
  # Problems in the gateway's form. WAF can send them only as application/json, and cannot fill in
  # the id of a request, whose line is in WAF's log.
  # https://docs.aws.amazon.com/waf/latest/APIReference/API_CustomResponse.html
  firewall_problems = {
    forbidden = {
      title  = "Forbidden"
      status = 403
      detail = "The firewall refused this request because of its address or its content."
    }
    too-many-requests = {
      title  = "Too Many Requests"
      status = 429
      detail = "Too many requests in the last minutes. Wait for the time in Retry-After, then send fewer."
    }
  }

  # The requests of a client to all tasks together: the gateway's limit, over a minute.
  requests_per_minute = 60 * var.rate_limit.rate + var.rate_limit.burst
}

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

  dynamic "custom_response_body" {
    for_each = local.firewall_problems

    content {
      key          = custom_response_body.key
      content_type = "APPLICATION_JSON"
      content = jsonencode(merge(custom_response_body.value, {
        type       = "${local.public_url == null ? "" : local.public_url}/docs#${custom_response_body.key}"
        request_id = "firewall"
      }))
    }
  }

  # Why dynamic: the condition is always true, but unknown during validation, which takes a tenth of a
  # second for each known `rule` of any plan. The type is very large.
  dynamic "rule" {
    for_each = var.waf == null ? {} : { allowed-addresses = 0 }

    content {
      name     = rule.key
      priority = rule.value

      action {
        allow {}
      }

      statement {
        ip_set_reference_statement {
          arn = aws_wafv2_ip_set.this["allowed"].arn
        }
      }

      visibility_config {
        metric_name                = rule.key
        cloudwatch_metrics_enabled = true
        sampled_requests_enabled   = false
      }
    }
  }

  # The rules that refuse.
  dynamic "rule" {
    for_each = { for name, rule in {
      denied-addresses = { priority = 1, problem = "forbidden", addresses = "denied" }

      # Counts a client's requests to all tasks, where each gateway counts only its own.
      key-rate = { priority = 2, problem = "too-many-requests", limit = local.requests_per_minute, seconds = 60, of = "CUSTOM_KEYS" }
      rate     = { priority = 3, problem = "too-many-requests", limit = var.waf.requests_per_5_minutes, seconds = 300, of = "IP" }

      # What AWS's rules, below, block by default. The reputation list also has a rule that only
      # counts, so its labels are named one by one.
      labelled = {
        priority = 7
        problem  = "forbidden"
        labels = {
          "awswaf:managed:aws:amazon-ip-list:AWSManagedIPReputationList"   = "LABEL"
          "awswaf:managed:aws:amazon-ip-list:AWSManagedReconnaissanceList" = "LABEL"
          "awswaf:managed:aws:known-bad-inputs:"                           = "NAMESPACE"
          "awswaf:managed:aws:core-rule-set:"                              = "NAMESPACE"
        }
      }
    } : name => rule if var.waf != null }

    content {
      name     = rule.key
      priority = rule.value.priority

      action {
        block {
          custom_response {
            response_code            = local.firewall_problems[rule.value.problem].status
            custom_response_body_key = rule.value.problem

            dynamic "response_header" {
              for_each = try([rule.value.seconds], [])

              content {
                name  = "Retry-After"
                value = response_header.value
              }
            }
          }
        }
      }

      statement {
        dynamic "ip_set_reference_statement" {
          for_each = try([rule.value.addresses], [])

          content {
            arn = aws_wafv2_ip_set.this[ip_set_reference_statement.value].arn
          }
        }

        dynamic "rate_based_statement" {
          for_each = try([rule.value.limit], [])

          content {
            limit                 = rate_based_statement.value
            evaluation_window_sec = rule.value.seconds
            aggregate_key_type    = rule.value.of

            dynamic "custom_key" {
              for_each = rule.value.of == "CUSTOM_KEYS" ? ["x-api-key"] : []

              content {
                header {
                  name = custom_key.value

                  # The gateway compares keys without regard to case.
                  text_transformation {
                    priority = 0
                    type     = "LOWERCASE"
                  }
                }
              }
            }
          }
        }

        dynamic "or_statement" {
          for_each = try([rule.value.labels], [])

          content {
            dynamic "statement" {
              for_each = or_statement.value

              content {
                label_match_statement {
                  key   = statement.key
                  scope = statement.value
                }
              }
            }
          }
        }
      }

      visibility_config {
        metric_name                = rule.key
        cloudwatch_metrics_enabled = true
        sampled_requests_enabled   = false
      }
    }
  }

  # AWS's rules only label a request, because the response of a managed group cannot be customised.
  # The count is of the group's result; its rules, and their labels, are unaffected.
  # https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-list.html
  # https://docs.aws.amazon.com/waf/latest/developerguide/web-acl-rule-group-override-options.html
  dynamic "rule" {
    for_each = var.waf == null ? {} : {
      AWSManagedRulesAmazonIpReputationList = 4
      AWSManagedRulesKnownBadInputsRuleSet  = 5
      AWSManagedRulesCommonRuleSet          = 6
    }

    content {
      name     = rule.key
      priority = rule.value

      override_action {
        count {}
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
        sampled_requests_enabled   = false
      }
    }
  }

  visibility_config {
    metric_name                = var.name_prefix
    cloudwatch_metrics_enabled = true
    sampled_requests_enabled   = false
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
