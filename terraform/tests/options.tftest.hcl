# Each option adds its resources, which do not exist without it.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

mock_provider "aws" {
  alias           = "us_east_1"
  source          = "./tests/mocks"
  override_during = plan
}

run "without_options_the_deployment_is_minimal" {
  command = plan

  assert {
    condition     = length(aws_vpc.this) + length(aws_wafv2_web_acl.this) + length(aws_kms_key.this) + length(aws_acm_certificate.this) + length(aws_codedeploy_app.this) + length(aws_prometheus_workspace.this) + length(aws_grafana_workspace.this) + length(aws_s3_bucket.access_logs) + length(aws_sns_topic_subscription.email) + length(aws_sns_topic_subscription.pager) == 0
    error_message = "Every option must be off by default."
  }
  assert {
    condition     = aws_cloudwatch_log_group.this.retention_in_days == 30 && !aws_lb.this.enable_deletion_protection && one(aws_ecs_cluster.this.setting).value == "disabled"
    error_message = "By default, logs must be kept for a month, and Container Insights must be off."
  }
}

run "each_option_adds_its_resources" {
  command = plan

  variables {
    waf                     = { requests_per_5_minutes = 2000, allowed_cidrs = ["192.0.2.0/24"], denied_cidrs = ["198.51.100.0/24"] }
    access_logs_enabled     = true
    alarm_email             = "oncall@example.com"
    managed_prometheus      = { collector_tag = "v0.45.0" }
    managed_grafana_enabled = true
    grafana_access = {
      ADMIN  = { group_ids = ["9a67295558-7c1f0e2a-3b4d-4c5e-8f60-718293a4b5c6"] }
      VIEWER = { user_ids = ["7c1f0e2a-3b4d-4c5e-8f60-718293a4b5c6"] }
    }
  }

  # --- Firewall ---
  assert {
    condition     = aws_wafv2_ip_set.this["allowed"].addresses == toset(["192.0.2.0/24"]) && aws_wafv2_ip_set.this["denied"].addresses == toset(["198.51.100.0/24"])
    error_message = "Both lists must have the given networks."
  }
  assert {
    condition     = one([for rule in aws_wafv2_web_acl.this[0].rule : rule.statement[0].rate_based_statement[0] if rule.name == "rate"]).limit >= 10 && contains([60, 120, 300, 600], one([for rule in aws_wafv2_web_acl.this[0].rule : rule.statement[0].rate_based_statement[0] if rule.name == "rate"]).evaluation_window_sec)
    error_message = "The rate rule must count at least 10 requests in a window that WAF supports."
  }
  assert {
    condition     = contains([for rule in aws_wafv2_web_acl.this[0].rule : rule.name], "AWSManagedRulesKnownBadInputsRuleSet") && contains([for rule in aws_wafv2_web_acl.this[0].rule : rule.name], "AWSManagedRulesCommonRuleSet")
    error_message = "The rules must include AWS's managed rules."
  }
  assert {
    condition     = aws_wafv2_web_acl_logging_configuration.this[0].redacted_fields[0].single_header[0].name == "x-api-key"
    error_message = "No key may be logged."
  }
  assert {
    condition = jsonencode({
      for rule in aws_wafv2_web_acl.this[0].rule : rule.name => [rule.priority, length(flatten(rule.action[*].allow)), length(flatten(rule.action[*].block)), length(flatten(rule.override_action[*].count))]
      }) == jsonencode({
      allowed-addresses                     = [0, 1, 0, 0]
      denied-addresses                      = [1, 0, 1, 0]
      key-rate                              = [2, 0, 1, 0]
      rate                                  = [3, 0, 1, 0]
      AWSManagedRulesAmazonIpReputationList = [4, 0, 0, 1]
      AWSManagedRulesKnownBadInputsRuleSet  = [5, 0, 0, 1]
      AWSManagedRulesCommonRuleSet          = [6, 0, 0, 1]
      labelled                              = [7, 0, 1, 0]
    })
    error_message = "The rules must be in this order, with these actions."
  }
  assert {
    condition = one([
      for rule in aws_wafv2_web_acl.this[0].rule : [
        rule.statement[0].rate_based_statement[0].limit, rule.statement[0].rate_based_statement[0].aggregate_key_type, rule.action[0].block[0].custom_response[0].response_code
      ] if rule.name == "rate"
    ]) == [2000, "IP", 429]
    error_message = "An address over its limit must get 429."
  }
  assert {
    condition = one([
      for rule in aws_wafv2_web_acl.this[0].rule : [
        for rate in rule.statement[0].rate_based_statement : [rate.limit, rate.evaluation_window_sec, one(one(rate.custom_key).header).name, one(one(one(rate.custom_key).header).text_transformation).type]
      ] if rule.name == "key-rate"
    ]) == [[60 * 5 + 5, 60, "x-api-key", "LOWERCASE"]]
    error_message = "A key's requests to all tasks must be limited to the gateway's rate over a minute, without regard to case."
  }
  assert {
    condition = alltrue(flatten([
      for rule in aws_wafv2_web_acl.this[0].rule : [
        for block in flatten(rule.action[*].block) : contains(keys(local.firewall_problems), block.custom_response[0].custom_response_body_key) && local.firewall_problems[block.custom_response[0].custom_response_body_key].status == block.custom_response[0].response_code
      ]
    ]))
    error_message = "Every refusal must have the body of its status."
  }
  assert {
    condition = alltrue([
      for body in aws_wafv2_web_acl.this[0].custom_response_body :
      body.content_type == "APPLICATION_JSON" && toset(keys(jsondecode(body.content))) == toset(yamldecode(file("${path.module}/../services/api/openapi.yaml")).components.schemas.Problem.required) &&
      can(regex(yamldecode(file("${path.module}/../services/api/openapi.yaml")).components.schemas.Problem.properties.type.pattern, jsondecode(body.content).type)) &&
      can(regex(yamldecode(file("${path.module}/../services/api/openapi.yaml")).components.schemas.RequestId.pattern, jsondecode(body.content).request_id))
    ]) && length(aws_wafv2_web_acl.this[0].custom_response_body) == 2
    error_message = "The bodies of refusals must be problems as in the contract."
  }
  assert {
    condition     = !anytrue(concat([aws_wafv2_web_acl.this[0].visibility_config[0].sampled_requests_enabled], aws_wafv2_web_acl.this[0].rule[*].visibility_config[0].sampled_requests_enabled))
    error_message = "Samples contain the key, so there must be none."
  }
  assert {
    condition     = aws_wafv2_web_acl_association.this[0].resource_arn == aws_lb.this.arn && aws_wafv2_web_acl_association.this[0].web_acl_arn == aws_wafv2_web_acl.this[0].arn
    error_message = "The firewall must be in front of the load balancer."
  }

  # --- Access logs ---
  assert {
    condition     = aws_lb.this.access_logs[0].enabled && aws_s3_bucket_public_access_block.access_logs[0].restrict_public_buckets
    error_message = "The load balancer must log to a private bucket."
  }
  assert {
    condition     = one([for statement in data.aws_iam_policy_document.access_logs[0].statement : one(statement.principals).identifiers if statement.sid == "LoadBalancerWrites"]) == toset(["logdelivery.elasticloadbalancing.amazonaws.com"])
    error_message = "Only the load balancer's log delivery may write."
  }
  assert {
    condition     = aws_s3_bucket_public_access_block.access_logs[0].block_public_acls && aws_s3_bucket_public_access_block.access_logs[0].block_public_policy && aws_s3_bucket_public_access_block.access_logs[0].ignore_public_acls
    error_message = "No ACL and no policy may make the bucket public."
  }
  assert {
    condition     = aws_s3_bucket_versioning.access_logs[0].versioning_configuration[0].status == "Enabled" && one(aws_s3_bucket_server_side_encryption_configuration.access_logs[0].rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256" && aws_s3_bucket_lifecycle_configuration.access_logs[0].rule[0].expiration[0].days == 90
    error_message = "Access logs must be encrypted and kept for 90 days."
  }
  assert {
    condition = jsonencode({
      for statement in data.aws_iam_policy_document.access_logs[0].statement : statement.sid => [coalesce(statement.effect, "Allow"), statement.actions, one(statement.condition).variable, one(statement.condition).values]
      }) == jsonencode({
      LoadBalancerWrites = ["Allow", ["s3:PutObject"], "aws:SourceArn", ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/zama-challenge/*"]]
      TlsOnly            = ["Deny", ["s3:*"], "aws:SecureTransport", ["false"]]
    })
    error_message = "Only this load balancer may write, and TLS must be required."
  }

  # --- Alarms and dashboards ---
  assert {
    condition     = alltrue([for severity in ["page", "ticket"] : aws_sns_topic_subscription.email[severity].endpoint == "oncall@example.com"]) && aws_sns_topic_subscription.probe[0].endpoint == "oncall@example.com"
    error_message = "The address must be subscribed."
  }
  assert {
    condition     = toset(aws_grafana_workspace.this[0].data_sources) == toset(["PROMETHEUS", "CLOUDWATCH"])
    error_message = "Grafana must have both data sources."
  }
  assert {
    condition = jsonencode({ for role, access in aws_grafana_role_association.this : role => [access.workspace_id == aws_grafana_workspace.this[0].id, access.group_ids, access.user_ids] }) == jsonencode({
      ADMIN  = [true, ["9a67295558-7c1f0e2a-3b4d-4c5e-8f60-718293a4b5c6"], []]
      VIEWER = [true, [], ["7c1f0e2a-3b4d-4c5e-8f60-718293a4b5c6"]]
    })
    error_message = "The given groups and users must have their roles in Grafana."
  }
}

run "the_largest_values_fit_together" {
  command = plan

  variables {
    name_prefix      = "abcdefghijklmnopqrst"
    image_tag        = join("", [for i in range(128) : "a"])
    api_key_ssm_name = "/zama${join("", [for i in range(14) : "/a"])}"
    desired_count    = 100
    task_size        = { cpu = 4096, memory = 30720 }
    rate_limit       = { rate = 100000, burst = 100000 }
    autoscaling      = { max_count = 1000, cpu_percent = 90, requests_per_minute = 1000000 }
    vpc              = { cidr = "10.20.0.0/19", zones = ["a", "b", "c", "d", "e", "f"] }
    waf              = { requests_per_5_minutes = 2000000000, allowed_cidrs = ["0.0.0.0/1"] }
  }

  assert {
    condition     = length(distinct(concat(values(aws_subnet.public)[*].cidr_block, values(aws_subnet.private)[*].cidr_block))) == 12
    error_message = "Six zones must have twelve subnets that do not overlap."
  }
}
