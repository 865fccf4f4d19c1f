# Allowed connections: the internet to the load balancer, the load balancer to the tasks, and the
# tasks to AWS. Rules are separate resources, because two groups refer to each other.

# --- Load balancer --------------------------------------------------------------------------------

resource "aws_security_group" "load_balancer" {
  name        = "${var.name_prefix}-load-balancer"
  description = "Load balancer: from everywhere, to the tasks"
  vpc_id      = local.vpc_id

  tags = { Name = "${var.name_prefix}-load-balancer" }
}

resource "aws_vpc_security_group_ingress_rule" "callers" {
  # checkov:skip=CKV_AWS_260:A public API; with a domain, port 80 only redirects
  for_each = merge(
    { (local.listener.port) = "Callers" },
    local.https ? { 80 = "Callers, to be redirected to HTTPS" } : {},
    # GitHub's runners, which test new tasks, have no fixed addresses.
    local.blue_green ? { (local.test_port) = "Tests of new tasks" } : {},
  )

  security_group_id = aws_security_group.load_balancer.id
  description       = each.value
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = tonumber(each.key)
  to_port           = tonumber(each.key)
}

resource "aws_vpc_security_group_egress_rule" "load_balancer_to_tasks" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "Requests and health checks"
  referenced_security_group_id = aws_security_group.tasks.id
  ip_protocol                  = "tcp"
  from_port                    = local.gateway_port
  to_port                      = local.gateway_port
}

# --- Tasks ----------------------------------------------------------------------------------------

resource "aws_security_group" "tasks" {
  name        = "${var.name_prefix}-tasks"
  description = "Tasks: from the load balancer only, to AWS"
  vpc_id      = local.vpc_id

  tags = { Name = "${var.name_prefix}-tasks" }
}

resource "aws_vpc_security_group_ingress_rule" "tasks_from_load_balancer" {
  security_group_id            = aws_security_group.tasks.id
  description                  = "Requests and health checks"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = local.gateway_port
  to_port                      = local.gateway_port
}

# In the default VPC, tasks reach AWS over the internet.
resource "aws_vpc_security_group_egress_rule" "tasks_to_internet" {
  count = local.own_vpc ? 0 : 1

  security_group_id = aws_security_group.tasks.id
  description       = "Images, key and logs"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "tasks_to_endpoints" {
  count = local.own_vpc ? 1 : 0

  security_group_id            = aws_security_group.tasks.id
  description                  = "Images, key, logs and metrics"
  referenced_security_group_id = aws_security_group.endpoints[0].id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "tasks_to_image_layers" {
  count = local.own_vpc ? 1 : 0

  security_group_id = aws_security_group.tasks.id
  description       = "Layers of images"
  prefix_list_id    = aws_vpc_endpoint.s3[0].prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# --- Endpoints ------------------------------------------------------------------------------------

resource "aws_security_group" "endpoints" {
  count = local.own_vpc ? 1 : 0

  name        = "${var.name_prefix}-endpoints"
  description = "Endpoints of AWS services: from the tasks only"
  vpc_id      = local.vpc_id

  tags = { Name = "${var.name_prefix}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints_from_tasks" {
  count = local.own_vpc ? 1 : 0

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "Tasks"
  referenced_security_group_id = aws_security_group.tasks.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}
