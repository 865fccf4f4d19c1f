# The cluster, the task and the service that runs it. The task matches docker-compose.yaml.

locals {
  # An unprivileged port, so that nginx needs no capability.
  gateway_port = 8081
  api_port     = 8080

  # Longer than the 25 s within which both containers stop (services/nginx/entrypoint).
  stop_timeout = 30

  service_name = one(concat(aws_ecs_service.rolling[*].name, aws_ecs_service.blue_green[*].name))
}

# --- Images ---------------------------------------------------------------------------------------

# Created by bootstrap/, because images are pushed before the service is planned.
data "aws_ecr_repository" "this" {
  for_each = toset(["api", "nginx"])

  name = "zama-${each.key}"
}

locals {
  images = {
    for name, repository in data.aws_ecr_repository.this : name => join("", [
      repository.repository_url,
      var.image_digests == null ? ":${var.image_tag}" : "@${var.image_digests[name]}",
    ])
  }
}

# --- Cluster --------------------------------------------------------------------------------------

resource "aws_ecs_cluster" "this" {
  # checkov:skip=CKV_AWS_65:An option, because AWS charges by the metric; enabled in the production profile
  name = var.name_prefix

  setting {
    name  = "containerInsights"
    value = var.container_insights_enabled ? "enabled" : "disabled"
  }
}

# --- Task -----------------------------------------------------------------------------------------

locals {
  # Settings of every container, in the order and with the defaults that ECS returns, so that plans
  # stay empty.
  container = {
    essential              = true
    readonlyRootFilesystem = true
    stopTimeout            = local.stop_timeout
    linuxParameters = {
      capabilities = { add = [], drop = ["ALL"] }
      # Process 1 receives no signal until it sets its handlers, so without an init process a stop
      # during the start would wait for `stopTimeout`.
      initProcessEnabled = true
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = var.region
        awslogs-stream-prefix = "ecs"
        # If CloudWatch is slow, drop log lines rather than delay requests.
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html
        mode            = "non-blocking"
        max-buffer-size = "4m"
      }
    }
    mountPoints    = []
    portMappings   = []
    systemControls = []
    volumesFrom    = []
  }

  # For the `type` of a problem, in answers of both containers.
  public_url_environment = [for url in local.public_url[*] : { name = "PUBLIC_URL", value = url }]

  api_container = merge(local.container, {
    name  = "api"
    image = local.images.api
    user  = "10001:10001"
    environment = concat([
      # Only the gateway can reach it: both share the task's network namespace.
      { name = "HOST", value = "127.0.0.1" },
      { name = "PORT", value = tostring(local.api_port) },
      { name = "VERSION", value = var.image_tag },
    ], local.public_url_environment)
    healthCheck = {
      command     = ["CMD", "/app/healthcheck"]
      interval    = 5
      timeout     = 2
      retries     = 3
      startPeriod = 10
    }
  })

  nginx_container = merge(local.container, {
    name  = "nginx"
    image = local.images.nginx
    user  = "101:101"
    # Starts after the API and stops before it.
    dependsOn = [{ containerName = "api", condition = "HEALTHY" }]
    environment = concat([
      { name = "API_PORT", value = tostring(local.api_port) },
      { name = "LISTEN_PORT", value = tostring(local.gateway_port) },
      { name = "RATE_BURST", value = tostring(var.rate_limit.burst) },
      { name = "RATE_LIMIT", value = tostring(var.rate_limit.rate) },
      # Only the load balancer can reach the tasks, so its X-Forwarded-For is trusted.
      { name = "TRUSTED_PROXIES", value = local.vpc_cidr },
    ], local.metrics_environment, local.public_url_environment)
    secrets = [{ name = "API_KEYS", valueFrom = aws_ssm_parameter.api_keys.arn }]
    portMappings = [
      { containerPort = local.gateway_port, hostPort = local.gateway_port, protocol = "tcp" },
    ]
    linuxParameters = merge(local.container.linuxParameters, {
      # The rendered configuration contains the keys, so it is kept in memory only.
      tmpfs = [{ containerPath = "/tmp", size = 16, mountOptions = ["nodev", "noexec", "nosuid"] }]
    })
    healthCheck = {
      command     = ["CMD-SHELL", "curl -fsS -o /dev/null http://127.0.0.1:${local.gateway_port}/healthz || exit 1"]
      interval    = 5
      timeout     = 2
      retries     = 3
      startPeriod = 10
    }
  })
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name_prefix
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.task_size.cpu
  memory                   = var.task_size.memory
  # A rollback needs the previous revision, and ECS starts no task of an inactive one.
  skip_destroy       = true
  execution_role_arn = aws_iam_role.execution.arn
  task_role_arn      = aws_iam_role.task.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  container_definitions = jsonencode(concat(
    [local.api_container, local.nginx_container],
    local.gateway_metrics_containers,
    local.collector_containers,
  ))
}

# --- Service, rolling -----------------------------------------------------------------------------

resource "aws_ecs_service" "rolling" {
  count = local.blue_green ? 0 : 1

  name             = var.name_prefix
  cluster          = aws_ecs_cluster.this.id
  task_definition  = aws_ecs_task_definition.this.arn
  desired_count    = var.desired_count
  launch_type      = "FARGATE"
  platform_version = "LATEST"

  # Two new tasks must be healthy before two old ones stop.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 30
  wait_for_steady_state              = true

  # Redistributes tasks evenly after the loss of a zone.
  availability_zone_rebalancing = "ENABLED"

  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  alarms {
    enable      = true
    rollback    = true
    alarm_names = local.rollback_alarm_names
  }

  network_configuration {
    subnets          = local.task_subnet_ids
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = !local.own_vpc
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this["blue"].arn
    container_name   = "nginx"
    container_port   = local.gateway_port
  }

  lifecycle {
    # Autoscaling changes it.
    ignore_changes = [desired_count]

    # A rolled-back service is stable again, and `apply` would report success.
    postcondition {
      condition     = self.task_definition == aws_ecs_task_definition.this.arn
      error_message = "The deployment was rolled back: the service runs ${self.task_definition}. See events and rolloutStateReason in `aws ecs describe-services`."
    }
  }

  # A service needs a target group with a listener, and its tasks need permission and a route to
  # read the keys.
  depends_on = [aws_lb_listener.rolling, aws_iam_role_policy.execution, aws_vpc_endpoint.interface, aws_vpc_endpoint.s3]
}

# --- Service, blue/green --------------------------------------------------------------------------

# After the first deployment, CodeDeploy selects the running task definition (blue_green.tf).
resource "aws_ecs_service" "blue_green" {
  count = local.blue_green ? 1 : 0

  name             = var.name_prefix
  cluster          = aws_ecs_cluster.this.id
  task_definition  = aws_ecs_task_definition.this.arn
  desired_count    = var.desired_count
  launch_type      = "FARGATE"
  platform_version = "LATEST"

  health_check_grace_period_seconds = 30

  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"

  deployment_controller {
    type = "CODE_DEPLOY"
  }

  network_configuration {
    subnets          = local.task_subnet_ids
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = !local.own_vpc
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this["blue"].arn
    container_name   = "nginx"
    container_port   = local.gateway_port
  }

  lifecycle {
    # Autoscaling and CodeDeploy change these. ECS refuses a change of the network here, so each
    # deployment states it (outputs.tf).
    ignore_changes = [desired_count, task_definition, load_balancer, network_configuration]
  }

  depends_on = [aws_lb_listener.blue_green, aws_iam_role_policy.execution, aws_vpc_endpoint.interface, aws_vpc_endpoint.s3]
}
