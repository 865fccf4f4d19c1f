# The network of the tasks, and the allowed connections.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

mock_provider "aws" {
  alias           = "us_east_1"
  source          = "./tests/mocks"
  override_during = plan
}

run "the_default_vpc_is_used_unchanged" {
  command = plan

  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.callers) == ["80"]
    error_message = "Without HTTPS, only port 80 must be open."
  }
  assert {
    condition     = aws_ecs_service.rolling[0].network_configuration[0].assign_public_ip && length(aws_vpc.this) == 0 && length(aws_vpc_endpoint.interface) == 0
    error_message = "In the default VPC, tasks must reach AWS over the internet."
  }
  assert {
    condition     = aws_vpc_security_group_egress_rule.tasks_to_internet[0].from_port == 443 && aws_vpc_security_group_egress_rule.tasks_to_internet[0].to_port == 443 && aws_vpc_security_group_egress_rule.tasks_to_internet[0].ip_protocol == "tcp"
    error_message = "Tasks must only reach HTTPS."
  }
}

run "a_separate_vpc_has_no_internet_egress" {
  command = plan

  variables {
    vpc    = { cidr = "10.20.0.0/16", zones = ["a", "b", "c"] }
    domain = { name = "api.example.com", zone_id = "Z0123456789ABC" }
  }

  assert {
    condition     = length(aws_subnet.public) == 3 && length(aws_subnet.private) == 3 && alltrue([for subnet in aws_subnet.public : !coalesce(subnet.map_public_ip_on_launch, false)])
    error_message = "There must be a public and a private subnet in each zone, and no public address by default."
  }
  assert {
    condition     = !aws_ecs_service.rolling[0].network_configuration[0].assign_public_ip
    error_message = "Tasks must have no public address."
  }
  assert {
    condition     = length(aws_route_table.private[0].route) == 0 && length(aws_vpc_security_group_egress_rule.tasks_to_internet) == 0
    error_message = "No route and no rule may lead from a task to the internet."
  }
  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["ecr.api", "ecr.dkr", "logs", "ssm"]) && aws_vpc_endpoint.s3[0].vpc_endpoint_type == "Gateway"
    error_message = "There must be endpoints for the services that tasks need, and for no other."
  }
  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled])
    error_message = "Endpoints must have private DNS."
  }
  assert {
    condition     = contains(local.nginx_container.environment, { name = "TRUSTED_PROXIES", value = "10.20.0.0/16" })
    error_message = "The gateway must trust this network's load balancer."
  }
  assert {
    condition     = aws_vpc.this[0].enable_dns_support && aws_vpc.this[0].enable_dns_hostnames && aws_vpc.this[0].cidr_block == "10.20.0.0/16"
    error_message = "The network must resolve the endpoints' names."
  }
  assert {
    condition     = one(data.aws_iam_policy_document.image_layers[0].statement).actions == toset(["s3:GetObject"]) && one(data.aws_iam_policy_document.image_layers[0].statement).resources == toset(["arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*"])
    error_message = "In S3, tasks must only read image layers."
  }

  # --- Connections ---
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.tasks_from_load_balancer.security_group_id == aws_security_group.tasks.id &&
      aws_vpc_security_group_ingress_rule.tasks_from_load_balancer.referenced_security_group_id == aws_security_group.load_balancer.id &&
      aws_vpc_security_group_ingress_rule.tasks_from_load_balancer.ip_protocol == "tcp" && aws_vpc_security_group_ingress_rule.tasks_from_load_balancer.cidr_ipv4 == null &&
      aws_vpc_security_group_ingress_rule.tasks_from_load_balancer.from_port == 8081 && aws_vpc_security_group_ingress_rule.tasks_from_load_balancer.to_port == 8081
    )
    error_message = "Tasks must only accept traffic from the load balancer's group, at the gateway's port."
  }
  assert {
    condition = alltrue([
      for port, rule in aws_vpc_security_group_ingress_rule.callers :
      rule.security_group_id == aws_security_group.load_balancer.id && rule.from_port == tonumber(port) && rule.to_port == tonumber(port) && contains(["80", "443"], port)
    ])
    error_message = "The internet must only reach the load balancer's ports 80 and 443."
  }
  assert {
    condition = (
      aws_vpc_security_group_egress_rule.load_balancer_to_tasks.security_group_id == aws_security_group.load_balancer.id &&
      aws_vpc_security_group_egress_rule.load_balancer_to_tasks.referenced_security_group_id == aws_security_group.tasks.id &&
      aws_vpc_security_group_egress_rule.load_balancer_to_tasks.from_port == 8081 && aws_vpc_security_group_egress_rule.load_balancer_to_tasks.to_port == 8081
    )
    error_message = "The load balancer must only reach the tasks' one port."
  }
  assert {
    condition = (
      aws_vpc_security_group_egress_rule.tasks_to_endpoints[0].referenced_security_group_id == aws_security_group.endpoints[0].id &&
      aws_vpc_security_group_egress_rule.tasks_to_image_layers[0].prefix_list_id == aws_vpc_endpoint.s3[0].prefix_list_id &&
      aws_vpc_security_group_ingress_rule.endpoints_from_tasks[0].security_group_id == aws_security_group.endpoints[0].id &&
      aws_vpc_security_group_ingress_rule.endpoints_from_tasks[0].referenced_security_group_id == aws_security_group.tasks.id
    )
    error_message = "Tasks must only reach the endpoints and the bucket of image layers, and the endpoints must accept traffic from the tasks."
  }
  assert {
    condition = alltrue([
      for rule in [aws_vpc_security_group_egress_rule.tasks_to_endpoints[0], aws_vpc_security_group_egress_rule.tasks_to_image_layers[0], aws_vpc_security_group_ingress_rule.endpoints_from_tasks[0]] :
      rule.cidr_ipv4 == null && rule.from_port == 443 && rule.to_port == 443
    ])
    error_message = "Rules between tasks and AWS must have port 443 and no network's address."
  }

  # --- Routes ---
  assert {
    condition     = length(aws_route_table.private[0].route) == 0 && toset(values(aws_route_table_association.private)[*].route_table_id) == toset([aws_route_table.private[0].id]) && toset(values(aws_route_table_association.private)[*].subnet_id) == toset(values(aws_subnet.private)[*].id)
    error_message = "Private subnets must use the route table without routes."
  }
  assert {
    condition     = aws_ecs_service.rolling[0].network_configuration[0].subnets == toset(values(aws_subnet.private)[*].id) && aws_lb.this.subnets == toset(values(aws_subnet.public)[*].id)
    error_message = "Tasks must be in the private subnets, and the load balancer in the public ones."
  }
  assert {
    condition     = aws_vpc_endpoint.s3[0].route_table_ids == toset([aws_route_table.private[0].id]) && alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.subnet_ids == toset(values(aws_subnet.private)[*].id) && endpoint.security_group_ids == toset([aws_security_group.endpoints[0].id])])
    error_message = "Endpoints must be in the tasks' subnets."
  }
  assert {
    condition = alltrue([
      for document in data.aws_iam_policy_document.endpoint : alltrue([
        for statement in document.statement : one(statement.condition).variable == "aws:PrincipalAccount" && one(statement.condition).values == tolist(["123456789012"]) && !contains(statement.actions, "*")
      ])
    ])
    error_message = "An endpoint must allow only this account and the actions that tasks need."
  }
  assert {
    # The tests do not know further resources by name, so check the source.
    condition = aws_route_table.private[0].tags["Name"] != "" && alltrue([
      for name in fileset(path.module, "*.tf") :
      length(regexall("resource \"(aws_nat_gateway|aws_route|aws_egress_only_internet_gateway|aws_security_group_rule)\"", file("${path.module}/${name}"))) == 0
    ])
    error_message = "There must be no NAT gateway, and no further route or rule."
  }
  assert {
    condition     = aws_route_table.public[0].tags["Name"] != "" && sum([for name in fileset(path.module, "*.tf") : length(regexall("\"(0\\.0\\.0\\.0|::)/0\"", file("${path.module}/${name}")))]) == 3
    error_message = "The whole internet may be allowed in three places: callers of the load balancer, the public route, and tasks in the default VPC."
  }
  assert {
    condition     = length(aws_default_security_group.this) == 1 && length(regexall("resource \"aws_default_security_group\" \"this\" \\{[^}]*(ingress|egress)", file("${path.module}/networking.tf"))) == 0
    error_message = "The VPC's default security group must have no rules."
  }
}
