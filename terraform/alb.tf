# The load balancer, its target groups and its listeners.

locals {
  blue_green = var.deployment_strategy == "blue_green"

  # A rolling deployment stays within one target group; blue/green alternates between two.
  target_groups = toset(local.blue_green ? ["blue", "green"] : ["blue"])

  # The listener that serves requests. With HTTPS, port 80 only redirects.
  listener = local.https ? {
    port            = 443
    protocol        = "HTTPS"
    ssl_policy      = "ELBSecurityPolicy-TLS13-1-2-2021-06"
    certificate_arn = aws_acm_certificate_validation.this[0].certificate_arn
    } : {
    port            = 80
    protocol        = "HTTP"
    ssl_policy      = null
    certificate_arn = null
  }
  # For tests of new tasks, with blue/green deployments.
  test_port    = 8443
  listener_arn = one(concat(aws_lb_listener.rolling[*].arn, aws_lb_listener.blue_green[*].arn))
}

resource "aws_lb" "this" {
  # checkov:skip=CKV_AWS_150:An option, enabled in the production profile
  # checkov:skip=CKV2_AWS_76:waf.tf adds the rule dynamically, which the check cannot see
  name               = var.name_prefix
  load_balancer_type = "application"
  security_groups    = [aws_security_group.load_balancer.id]
  subnets            = local.load_balancer_subnet_ids

  # Shorter than the gateway's keep-alive of 75 s (services/nginx/nginx.conf), so that the load
  # balancer always closes idle connections first.
  # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html
  idle_timeout               = 60
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "strictest"
  # The load balancer appends the caller's address; the gateway uses the last untrusted entry.
  xff_header_processing_mode = "append"
  enable_deletion_protection = var.deletion_protection_enabled

  dynamic "access_logs" {
    for_each = aws_s3_bucket.access_logs

    content {
      bucket  = access_logs.value.id
      enabled = true
    }
  }

  # Setting the attribute makes a test write, which fails without the policy. An internet-facing load
  # balancer needs the gateway, which cannot be detached before the load balancer is gone.
  depends_on = [aws_s3_bucket_policy.access_logs, aws_internet_gateway.this]
}

resource "aws_lb_target_group" "this" {
  for_each = local.target_groups

  name        = "${var.name_prefix}-${each.key}"
  vpc_id      = local.vpc_id
  target_type = "ip"
  protocol    = "HTTP"
  port        = local.gateway_port

  # Requests take milliseconds, so those in flight when a task is deregistered need no more.
  # https://docs.aws.amazon.com/AmazonECS/latest/bestpracticesguide/load-balancer-connection-draining.html
  deregistration_delay          = 15
  load_balancing_algorithm_type = "least_outstanding_requests"

  health_check {
    path                = "/readyz"
    matcher             = "200"
    interval            = 5
    timeout             = 2
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

# --- Listeners ------------------------------------------------------------------------------------

resource "aws_lb_listener" "rolling" {
  count = local.blue_green ? 0 : 1

  load_balancer_arn = aws_lb.this.arn
  port              = local.listener.port
  protocol          = local.listener.protocol
  ssl_policy        = local.listener.ssl_policy
  certificate_arn   = local.listener.certificate_arn

  routing_http_response_server_enabled = false

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this["blue"].arn
  }
}

# CodeDeploy shifts the weights, so Terraform sets them only at creation.
resource "aws_lb_listener" "blue_green" {
  count = local.blue_green ? 1 : 0

  load_balancer_arn = aws_lb.this.arn
  port              = local.listener.port
  protocol          = local.listener.protocol
  ssl_policy        = local.listener.ssl_policy
  certificate_arn   = local.listener.certificate_arn

  routing_http_response_server_enabled = false

  default_action {
    type = "forward"

    forward {
      dynamic "target_group" {
        for_each = { blue = 100, green = 0 }

        content {
          arn    = aws_lb_target_group.this[target_group.key].arn
          weight = target_group.value
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [default_action]
  }
}

# New tasks are tested here before any caller reaches them (docs/decisions/0021). It has the same
# certificate, firewall and keys as the listener for callers.
resource "aws_lb_listener" "test" {
  count = local.blue_green ? 1 : 0

  load_balancer_arn = aws_lb.this.arn
  port              = local.test_port
  protocol          = local.listener.protocol
  ssl_policy        = local.listener.ssl_policy
  certificate_arn   = local.listener.certificate_arn

  routing_http_response_server_enabled = false

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this["blue"].arn
  }

  lifecycle {
    ignore_changes = [default_action]
  }
}

resource "aws_lb_listener" "redirect" {
  count = local.https ? 1 : 0

  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  routing_http_response_server_enabled = false

  default_action {
    type = "redirect"

    redirect {
      port        = "443"
      protocol    = "HTTPS"
      status_code = "HTTP_301"
    }
  }
}
