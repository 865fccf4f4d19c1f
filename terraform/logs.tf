# The log group of the tasks, and the questions that runbooks ask it.

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_338:A month is enough to look into an incident; the production profile keeps a year
  name              = "/ecs/${var.name_prefix}"
  retention_in_days = var.log_retention_days
  kms_key_id        = local.kms_key_arn
}

locals {
  # By name. Every request has a line of the gateway's, and one of the API's if it got there.
  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
  log_queries = {
    # What failed, and whose fault it was.
    errors = "filter status >= 500 | stats count(*) as requests by service, status, path | sort requests desc"

    # What tasks said of themselves: starts, drains, exceptions.
    events = "filter event != 'request' | fields @timestamp, service, level, event, message, traceback | sort @timestamp desc | limit 50"

    # The slowest answers; upstream_ms is the API's part of duration_ms.
    slowest = "filter service = 'nginx' and event = 'request' | fields @timestamp, duration_ms, upstream_ms, status, path, client, request_id | sort duration_ms desc | limit 20"

    # Who was refused: 401 without a key, 403 with a wrong one, 429 over the limit.
    refused = "filter service = 'nginx' and status in [401, 403, 429] | stats count(*) as requests by status, client, remote_addr | sort requests desc | limit 20"

    refused-over-time = "filter service = 'nginx' and status in [401, 403, 429] | stats count(*) by status, bin(1m)"

    # Who calls, how much, and when last.
    clients = "filter service = 'nginx' and event = 'request' | stats count(*) as requests, max(@timestamp) as last by client | sort requests desc"

    # With which keys, by their fingerprints; `zama keys list` asks it.
    keys = "filter service = 'nginx' and key != '' | stats count(*) as requests, max(@timestamp) as last by client, key | sort last desc"
  }
}

resource "aws_cloudwatch_query_definition" "this" {
  for_each = local.log_queries

  name            = "${var.name_prefix}/${each.key}"
  log_group_names = [aws_cloudwatch_log_group.this.name]
  query_string    = each.value
}
