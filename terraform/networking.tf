# The network of the load balancer and the tasks: the account's default VPC, or a separate VPC whose
# tasks can reach only the AWS services that they need.

locals {
  own_vpc = var.vpc != null

  vpc_id   = local.own_vpc ? aws_vpc.this[0].id : data.aws_vpc.default[0].id
  vpc_cidr = local.own_vpc ? aws_vpc.this[0].cidr_block : data.aws_vpc.default[0].cidr_block

  load_balancer_subnet_ids = local.own_vpc ? values(aws_subnet.public)[*].id : data.aws_subnets.default[0].ids
  task_subnet_ids          = local.own_vpc ? values(aws_subnet.private)[*].id : data.aws_subnets.default[0].ids

  # Zone name to its number, which determines its subnets' addresses.
  zones = local.own_vpc ? {
    for number, letter in var.vpc.zones : "${var.region}${letter}" => number
  } : {}
}

# --- The default VPC ------------------------------------------------------------------------------

data "aws_vpc" "default" {
  count = local.own_vpc ? 0 : 1

  default = true
}

data "aws_subnets" "default" {
  count = local.own_vpc ? 0 : 1

  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default[0].id]
  }
  filter {
    name   = "default-for-az"
    values = ["true"]
  }
}

# --- A separate VPC -------------------------------------------------------------------------------

resource "aws_vpc" "this" {
  count = local.own_vpc ? 1 : 0

  cidr_block = var.vpc.cidr
  # Needed for the endpoints' private DNS names.
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name_prefix }
}

# Unused. Without rules, nothing can use it by mistake.
resource "aws_default_security_group" "this" {
  count = local.own_vpc ? 1 : 0

  vpc_id = aws_vpc.this[0].id
}

resource "aws_subnet" "public" {
  for_each = local.zones

  vpc_id            = aws_vpc.this[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc.cidr, 4, each.value)

  tags = { Name = "${var.name_prefix}-public-${each.key}" }
}

resource "aws_subnet" "private" {
  for_each = local.zones

  vpc_id            = aws_vpc.this[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc.cidr, 4, 8 + each.value)

  tags = { Name = "${var.name_prefix}-private-${each.key}" }
}

resource "aws_internet_gateway" "this" {
  count = local.own_vpc ? 1 : 0

  vpc_id = aws_vpc.this[0].id

  tags = { Name = var.name_prefix }
}

resource "aws_route_table" "public" {
  count = local.own_vpc ? 1 : 0

  vpc_id = aws_vpc.this[0].id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this[0].id
  }

  tags = { Name = "${var.name_prefix}-public" }
}

# Only the local route and the route to S3: tasks have no route to the internet.
resource "aws_route_table" "private" {
  count = local.own_vpc ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  route  = []

  tags = { Name = "${var.name_prefix}-private" }
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[0].id
}

# --- Endpoints ------------------------------------------------------------------------------------

locals {
  # The services that tasks call, and the allowed actions: pull images, read keys, write logs and,
  # with a collector, write metrics.
  interface_endpoints = local.own_vpc ? merge(
    {
      "ecr.api" = ["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      "ecr.dkr" = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      "logs"    = ["logs:CreateLogStream", "logs:PutLogEvents"]
      "ssm"     = ["ssm:GetParameters"]
    },
    var.managed_prometheus == null ? {} : { "aps-workspaces" = ["aps:RemoteWrite"] },
  ) : {}
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interface_endpoints

  vpc_id              = aws_vpc.this[0].id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = local.task_subnet_ids
  security_group_ids  = [aws_security_group.endpoints[0].id]
  private_dns_enabled = true
  policy              = data.aws_iam_policy_document.endpoint[each.key].json

  tags = { Name = "${var.name_prefix}-${each.key}" }
}

# ECR stores image layers in a bucket that AWS owns, so tasks need this endpoint as well as ecr.*.
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html
resource "aws_vpc_endpoint" "s3" {
  count = local.own_vpc ? 1 : 0

  vpc_id            = aws_vpc.this[0].id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private[0].id]
  policy            = data.aws_iam_policy_document.image_layers[0].json

  tags = { Name = "${var.name_prefix}-s3" }
}

data "aws_iam_policy_document" "endpoint" {
  for_each = local.interface_endpoints

  # Only for this account, so that a compromised task cannot export data with other credentials.
  statement {
    actions   = each.value
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [local.account_id]
    }
  }
}

data "aws_iam_policy_document" "image_layers" {
  # checkov:skip=CKV_AWS_283:AWS owns the bucket; ECR signs each request for the task
  count = local.own_vpc ? 1 : 0

  statement {
    actions   = ["s3:GetObject"]
    resources = ["arn:${local.partition}:s3:::prod-${var.region}-starport-layer-bucket/*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
  }
}

# --- Flow logs ------------------------------------------------------------------------------------

resource "aws_flow_log" "this" {
  count = local.own_vpc && var.access_logs_enabled ? 1 : 0

  vpc_id          = aws_vpc.this[0].id
  traffic_type    = "ALL"
  log_destination = aws_cloudwatch_log_group.flows[0].arn
  iam_role_arn    = aws_iam_role.flow_logs[0].arn
}

resource "aws_cloudwatch_log_group" "flows" {
  count = local.own_vpc && var.access_logs_enabled ? 1 : 0

  name              = "/vpc/${var.name_prefix}"
  retention_in_days = var.log_retention_days
  kms_key_id        = local.kms_key_arn
}

resource "aws_iam_role" "flow_logs" {
  count = local.own_vpc && var.access_logs_enabled ? 1 : 0

  name                 = "${var.name_prefix}-flow-logs"
  assume_role_policy   = data.aws_iam_policy_document.flow_logs_trust[0].json
  permissions_boundary = local.boundary_arn
}

data "aws_iam_policy_document" "flow_logs_trust" {
  count = local.own_vpc && var.access_logs_enabled ? 1 : 0

  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["vpc-flow-logs.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

resource "aws_iam_role_policy" "flow_logs" {
  count = local.own_vpc && var.access_logs_enabled ? 1 : 0

  name   = "write-flows"
  role   = aws_iam_role.flow_logs[0].id
  policy = data.aws_iam_policy_document.flow_logs[0].json
}

data "aws_iam_policy_document" "flow_logs" {
  count = local.own_vpc && var.access_logs_enabled ? 1 : 0

  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    resources = ["${aws_cloudwatch_log_group.flows[0].arn}:*"]
  }
}
