# Where the tasks live, and who reaches whom.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image_tag = "1a2b3c4"
}

run "tasks_are_reached_by_the_load_balancer_only" {
  command = plan

  assert {
    condition     = aws_vpc_security_group_ingress_rule.tasks_from_load_balancer.from_port == 8081 && aws_vpc_security_group_ingress_rule.tasks_from_load_balancer.to_port == 8081
    error_message = "The load balancer must reach the gateway's port and no other."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.tasks_from_load_balancer.cidr_ipv4 == null
    error_message = "No network may reach the tasks."
  }
  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.callers) == ["80"]
    error_message = "Without HTTPS only port 80 must be open."
  }
}

run "the_default_vpc_is_used_as_it_is" {
  command = plan

  assert {
    condition     = aws_ecs_service.rolling[0].network_configuration[0].assign_public_ip && length(aws_vpc.this) == 0 && length(aws_vpc_endpoint.interface) == 0
    error_message = "In the default VPC the way to AWS is the internet."
  }
}

run "a_vpc_of_its_own_has_no_way_out" {
  command = plan

  variables {
    vpc = { cidr = "10.20.0.0/16", zones = ["a", "b", "c"] }
  }

  assert {
    condition     = length(aws_subnet.public) == 3 && length(aws_subnet.private) == 3 && alltrue([for subnet in aws_subnet.public : !coalesce(subnet.map_public_ip_on_launch, false)])
    error_message = "There must be a public and a private subnet in each zone, and no public address by default."
  }
  assert {
    condition     = length(distinct(concat(values(aws_subnet.public)[*].cidr_block, values(aws_subnet.private)[*].cidr_block))) == 6
    error_message = "Subnets must not overlap."
  }
  assert {
    condition     = !aws_ecs_service.rolling[0].network_configuration[0].assign_public_ip
    error_message = "Tasks must have no public address."
  }
  assert {
    condition     = length(aws_route_table.private[0].route) == 0 && length(aws_vpc_security_group_egress_rule.tasks_to_internet) == 0
    error_message = "There must be no route, and no rule, from a task to the internet."
  }
  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["ecr.api", "ecr.dkr", "logs", "ssm"]) && aws_vpc_endpoint.s3[0].vpc_endpoint_type == "Gateway"
    error_message = "Tasks must reach the services that they need, and no other."
  }
  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled])
    error_message = "The services must answer under their usual names."
  }
  assert {
    condition     = contains(local.nginx_container.environment, { name = "TRUSTED_PROXIES", value = "10.20.0.0/16" })
    error_message = "The gateway must believe this network's load balancer."
  }
}

run "metrics_have_an_endpoint_too" {
  command = plan

  variables {
    vpc                = { cidr = "10.20.0.0/16", zones = ["a", "b"] }
    managed_prometheus = { collector_tag = "v0.45.0" }
  }

  assert {
    condition     = contains(keys(aws_vpc_endpoint.interface), "aps-workspaces")
    error_message = "The collector must reach Managed Prometheus."
  }
}
