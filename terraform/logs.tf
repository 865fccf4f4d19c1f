# The log group of the tasks, and the saved queries that runbooks use.

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_338:A month is enough to investigate an incident; the production profile keeps a year
  name              = "/ecs/${var.name_prefix}"
  retention_in_days = var.log_retention_days
  kms_key_id        = local.kms_key_arn
}

locals {
  # Queries by name. A request has a line from the gateway, and a second from the API if it reached
  # it. Health checks have no line, and of the 429 without a key only one in a hundred has one.
  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
  log_queries = {
    # Failed requests, with the failing service.
    errors = "filter status >= 500 | stats count(*) as requests by service, status, path | sort requests desc"

    # Tasks' own events: starts, drains, exceptions.
    events = "filter event != 'request' | fields @timestamp, service, level, event, message, traceback | sort @timestamp desc | limit 50"

    # The slowest responses; upstream_ms is the API's part of duration_ms. Without 429, because the
    # gateway holds refusals back in a flood.
    slowest = "filter service = 'nginx' and event = 'request' and status != 429 | fields @timestamp, duration_ms, upstream_ms, status, path, client, request_id | sort duration_ms desc | limit 20"

    # Refused callers: 401 without a key, 403 with a wrong key, 429 over the limit.
    refused = "filter service = 'nginx' and status in [401, 403, 429] | stats count(*) as requests by status, client, remote_addr | sort requests desc | limit 20"

    refused-over-time = "filter service = 'nginx' and status in [401, 403, 429] | stats count(*) by status, bin(1m)"

    # Callers, with their number of requests and their last request.
    clients = "filter service = 'nginx' and event = 'request' | stats count(*) as requests, max(@timestamp) as last by client | sort requests desc"

    # The keys in use, by fingerprint; `zama keys list` uses this query.
    keys = "filter service = 'nginx' and key != '' | stats count(*) as requests, max(@timestamp) as last by client, key | sort last desc"
  }
}

resource "aws_cloudwatch_query_definition" "this" {
  for_each = local.log_queries

  name            = "${var.name_prefix}/${each.key}"
  log_group_names = [aws_cloudwatch_log_group.this.name]
  query_string    = each.value
}
