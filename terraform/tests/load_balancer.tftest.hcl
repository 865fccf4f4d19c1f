# The load balancer, its timeouts and its listeners.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

mock_provider "aws" {
  alias           = "us_east_1"
  source          = "./tests/mocks"
  override_during = plan
}

run "requests_go_to_ready_tasks_over_http" {
  command = plan

  assert {
    condition     = aws_lb.this.idle_timeout == 60
    error_message = "The load balancer's idle timeout must be 60 s."
  }
  assert {
    condition     = aws_lb.this.idle_timeout < tonumber(regex("\n +keepalive_timeout ([0-9]+)s;", file("../services/nginx/nginx.conf"))[0])
    error_message = "The gateway must keep connections longer than the load balancer."
  }

  # --- Refused requests ---
  assert {
    condition     = aws_lb.this.drop_invalid_header_fields && aws_lb.this.desync_mitigation_mode == "strictest"
    error_message = "The load balancer must refuse malformed requests."
  }
  assert {
    condition     = aws_lb.this.xff_header_processing_mode == "append" && !aws_lb_listener.rolling[0].routing_http_response_server_enabled
    error_message = "The load balancer must append the caller's address and send no Server header."
  }
  assert {
    condition     = aws_lb.this.security_groups == toset([aws_security_group.load_balancer.id]) && !aws_lb.this.enable_deletion_protection
    error_message = "The load balancer must have its own security group, and no deletion protection by default."
  }

  # --- Targets ---
  assert {
    condition = alltrue([
      for group in aws_lb_target_group.this : group.health_check[0].path == "/readyz" &&
      group.health_check[0].interval == 5 && group.health_check[0].healthy_threshold == 2 &&
      group.health_check[0].timeout == 2 && group.health_check[0].unhealthy_threshold == 2 && group.health_check[0].matcher == "200"
    ])
    error_message = "Health checks must call /readyz every 5 s, wait 2 s, and change a target's state after 2 results."
  }
  assert {
    condition     = alltrue([for group in aws_lb_target_group.this : tonumber(group.deregistration_delay) >= 15 && tonumber(group.deregistration_delay) <= 30])
    error_message = "Requests in flight must have 15 to 30 s to finish."
  }
  assert {
    condition     = alltrue([for group in aws_lb_target_group.this : group.target_type == "ip" && group.protocol == "HTTP" && group.port == 8081 && group.load_balancing_algorithm_type == "least_outstanding_requests"])
    error_message = "A request must go to the gateway of the task with the fewest requests in flight."
  }

  # --- Listener ---
  assert {
    condition     = aws_lb_listener.rolling[0].port == 80 && aws_lb_listener.rolling[0].protocol == "HTTP" && length(aws_lb_listener.redirect) == 0
    error_message = "There must be one listener, on port 80."
  }
  assert {
    condition     = output.url == "http://zama-challenge-1.eu-west-1.elb.amazonaws.com"
    error_message = "The service's URL must have the load balancer's name."
  }
  assert {
    condition     = aws_lb_listener.rolling[0].default_action[0].type == "forward" && aws_lb_listener.rolling[0].default_action[0].target_group_arn == aws_lb_target_group.this["blue"].arn && aws_lb_listener.rolling[0].load_balancer_arn == aws_lb.this.arn
    error_message = "The listener must forward requests to the tasks."
  }
}

run "with_a_domain_requests_are_served_only_over_https" {
  command = plan

  variables {
    domain = { name = "api.example.com", zone_id = "Z0123456789ABC" }
  }

  assert {
    condition     = aws_lb_listener.rolling[0].port == 443 && aws_lb_listener.rolling[0].protocol == "HTTPS" && startswith(aws_lb_listener.rolling[0].ssl_policy, "ELBSecurityPolicy-TLS13-1-2")
    error_message = "HTTPS must be TLS 1.2 or newer."
  }
  assert {
    condition     = aws_lb_listener.redirect[0].port == 80 && aws_lb_listener.redirect[0].default_action[0].redirect[0].protocol == "HTTPS" && aws_lb_listener.redirect[0].default_action[0].redirect[0].status_code == "HTTP_301"
    error_message = "Port 80 must redirect to HTTPS permanently."
  }
  assert {
    condition     = aws_acm_certificate.this[0].validation_method == "DNS" && aws_route53_record.service[0].name == "api.example.com" && output.url == "https://api.example.com"
    error_message = "The name must be validated by DNS and point to the load balancer."
  }
  assert {
    condition     = aws_lb_listener.rolling[0].certificate_arn == aws_acm_certificate_validation.this[0].certificate_arn && aws_lb_listener.redirect[0].default_action[0].type == "redirect" && aws_lb_listener.redirect[0].default_action[0].redirect[0].port == "443"
    error_message = "HTTPS must use the validated certificate, and port 80 must redirect to it."
  }
  assert {
    condition     = alltrue([for container in [local.api_container, local.nginx_container] : contains(container.environment, { name = "PUBLIC_URL", value = "https://api.example.com" })])
    error_message = "The problems of both containers must link to the public name."
  }
}

run "blue_green_terminates_tls_in_the_same_way" {
  command = plan

  variables {
    domain              = { name = "api.example.com", zone_id = "Z0123456789ABC" }
    deployment_strategy = "blue_green"
  }

  assert {
    condition     = aws_lb_listener.blue_green[0].port == 443 && strcontains(aws_lb_listener.blue_green[0].ssl_policy, "TLS13") && aws_lb_listener.blue_green[0].certificate_arn == aws_acm_certificate_validation.this[0].certificate_arn
    error_message = "The listener must use the validated certificate, and TLS 1.2 or newer."
  }
  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.callers) == ["443", "80", "8443"] && aws_lb_listener.redirect[0].default_action[0].redirect[0].port == "443"
    error_message = "Ports 443 and 8443, for tests of new tasks, must be open, and port 80 must redirect."
  }
  assert {
    condition     = aws_lb_listener.test[0].port == 8443 && aws_lb_listener.test[0].ssl_policy == aws_lb_listener.blue_green[0].ssl_policy && aws_lb_listener.test[0].certificate_arn == aws_lb_listener.blue_green[0].certificate_arn
    error_message = "New tasks must be tested over the callers' TLS."
  }
  assert {
    # The provider computes the attribute if it is unset, so a plan cannot show it, but the source
    # can.
    condition     = aws_lb.this.idle_timeout > 0 && !strcontains(file("${path.module}/alb.tf"), "strict_transport_security") && strcontains(file("${path.module}/../services/nginx/includes/response_headers.conf"), "Strict-Transport-Security")
    error_message = "Only the gateway may send HSTS."
  }
}
