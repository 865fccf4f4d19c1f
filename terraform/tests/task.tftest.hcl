# The task definition, container by container.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

mock_provider "aws" {
  alias           = "us_east_1"
  source          = "./tests/mocks"
  override_during = plan
}

run "every_container_is_hardened" {
  command = plan

  variables {
    managed_prometheus = { collector_tag = "v0.45.0" }
  }

  assert {
    condition     = [for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.name] == ["api", "nginx", "gateway-metrics", "collector"]
    error_message = "There must be these four containers."
  }
  assert {
    condition = alltrue([
      for container in jsondecode(aws_ecs_task_definition.this.container_definitions) :
      container.readonlyRootFilesystem == true && container.linuxParameters.capabilities.drop == ["ALL"] && container.linuxParameters.capabilities.add == [] &&
      container.linuxParameters.initProcessEnabled && try(container.privileged, false) == false && can(regex("^[1-9][0-9]*:[1-9][0-9]*$", container.user))
    ])
    error_message = "Every container must have a user that is not root, a read-only root, no capability, no privilege, and an init process, so that a stop during its start is not lost."
  }
  assert {
    condition     = [for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.name if container.essential] == ["api", "nginx"]
    error_message = "The task must stop with the API or the gateway, and not with the metrics containers."
  }
  assert {
    condition = alltrue([
      for container in jsondecode(aws_ecs_task_definition.this.container_definitions) :
      length(container.healthCheck.command) > 1 && container.healthCheck.timeout < container.healthCheck.interval && container.stopTimeout == 30 &&
      (container.name == "api" ? !can(container.dependsOn) : container.dependsOn == [{ containerName = "api", condition = "HEALTHY" }])
    ])
    error_message = "Every container must have a health check and 30 s to stop, and all but the API must wait until the API is healthy."
  }
  assert {
    condition = [for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.image] == [
      "${data.aws_ecr_repository.this["api"].repository_url}:1a2b3c4", "${data.aws_ecr_repository.this["nginx"].repository_url}:1a2b3c4",
      "${data.aws_ecr_repository.this["api"].repository_url}:1a2b3c4", "${data.aws_ecr_repository.collector[0].repository_url}:v0.45.0",
    ] && concat(values(data.aws_ecr_repository.this), data.aws_ecr_repository.collector)[*].name == ["zama-api", "zama-nginx", "zama-collector"]
    error_message = "Every container must use its own image from the account's registry, by tag."
  }
  assert {
    condition = alltrue([
      for container in jsondecode(aws_ecs_task_definition.this.container_definitions) :
      container.logConfiguration.logDriver == "awslogs" &&
      container.logConfiguration.options["mode"] == "non-blocking" &&
      container.logConfiguration.options["max-buffer-size"] == "4m" &&
      container.logConfiguration.options["awslogs-group"] == "/ecs/zama-challenge"
    ])
    error_message = "Every container must log to the one group without blocking."
  }
  assert {
    condition     = aws_ecs_task_definition.this.network_mode == "awsvpc" && aws_ecs_task_definition.this.requires_compatibilities == toset(["FARGATE"])
    error_message = "The task must run on Fargate."
  }
  assert {
    condition     = aws_ecs_task_definition.this.skip_destroy
    error_message = "The previous revision must stay active, so that a rollback can start its tasks."
  }
  assert {
    condition = [
      for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : try(container.memory, 0)
    ] == [0, 0, 64, 128]
    error_message = "The metrics containers, and no others, must have memory limits that leave at least five eighths of the task's memory."
  }

  # --- Collector ---
  assert {
    condition = local.collector_configuration == jsondecode(one([
      for setting in local.collector_containers[0].environment : setting.value if setting.name == "AOT_CONFIG_CONTENT"
    ])) && !strcontains(jsonencode(local.collector_configuration), "$")
    error_message = "The collector must get its whole configuration from the variable that it reads, without `$`, which it would expand."
  }
  assert {
    condition = alltrue([
      for kind, names in local.collector_configuration.service.pipelines.metrics : alltrue([for name in names : contains(keys(local.collector_configuration[kind]), name)])
    ]) && toset(local.collector_configuration.service.extensions) == toset(keys(local.collector_configuration.extensions))
    error_message = "The pipeline must only use components that are configured."
  }
  assert {
    # https://github.com/aws-observability/aws-otel-collector/blob/main/pkg/defaultcomponents/defaults.go
    condition = jsonencode({ for kind in ["extensions", "receivers", "processors", "exporters"] : kind => keys(local.collector_configuration[kind]) }) == jsonencode({
      extensions = ["health_check", "sigv4auth"]
      receivers  = ["prometheus"]
      processors = ["memory_limiter", "resourcedetection"]
      exporters  = ["prometheusremotewrite"]
    })
    error_message = "The collector must only use components that AWS's distribution contains: check new ones there."
  }
  assert {
    condition     = local.collector_configuration.service.pipelines.metrics.processors[0] == "memory_limiter" && local.collector_configuration.processors.memory_limiter.limit_mib < local.metrics_memory.collector
    error_message = "The collector must refuse samples before it reaches its container's limit."
  }
}

run "only_the_gateway_gets_the_keys" {
  command = plan

  variables {
    managed_prometheus = { collector_tag = "v0.45.0" }
    api_key_value      = "acme=SECRET-0123456789"
  }

  assert {
    condition     = local.nginx_container.secrets == [{ name = "API_KEYS", valueFrom = aws_ssm_parameter.api_keys.arn }]
    error_message = "The gateway must get the keys from the one parameter."
  }
  assert {
    condition     = [for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.name if length(try(container.secrets, [])) > 0] == ["nginx"]
    error_message = "Only the gateway may have secrets."
  }
  assert {
    condition = alltrue(flatten([
      for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : [
        for setting in container.environment : !contains(["API_KEY", "API_KEYS"], setting.name)
      ]
    ]))
    error_message = "No key may be in a container's environment, which anyone can read who can describe the task."
  }
  assert {
    condition     = !strcontains(aws_ecs_task_definition.this.container_definitions, "SECRET")
    error_message = "The key itself must not be in the task definition."
  }
  assert {
    condition     = aws_ssm_parameter.api_keys.type == "SecureString" && aws_ssm_parameter.api_keys.value_wo_version == 1
    error_message = "The parameter must be encrypted, and its value must be write-only."
  }
  assert {
    condition     = ephemeralasnull(var.api_key_value) == null
    error_message = "The key must be ephemeral, so that no plan and no state contains it."
  }
}

run "the_task_matches_the_images_and_compose" {
  command = plan

  assert {
    condition     = regex("\nUSER (\\S+)", file("${path.module}/../services/api/Dockerfile"))[0] == local.api_container.user && regex("\nUSER (\\S+)", file("${path.module}/../services/nginx/Dockerfile"))[0] == local.nginx_container.user
    error_message = "The users must match the images."
  }
  assert {
    condition     = tonumber(regex("\nEXPOSE (\\d+)", file("${path.module}/../services/api/Dockerfile"))[0]) == local.api_port && contains(local.api_container.environment, { name = "PORT", value = tostring(local.api_port) }) && contains(local.nginx_container.environment, { name = "API_PORT", value = tostring(local.api_port) })
    error_message = "The API's port must match its image and the gateway's setting."
  }
  assert {
    condition     = tonumber(regex("LISTEN_PORT=(\\d+)", file("${path.module}/../docker-compose.yaml"))[0]) == local.gateway_port && contains(local.nginx_container.environment, { name = "LISTEN_PORT", value = tostring(local.gateway_port) })
    error_message = "The gateway's port must match docker-compose.yaml."
  }
  assert {
    condition     = jsondecode(regex("\nHEALTHCHECK[^\n]* CMD (\\[[^\n]*\\])", file("${path.module}/../services/api/Dockerfile"))[0])[0] == local.api_container.healthCheck.command[1] && strcontains(file("${path.module}/../services/api/Dockerfile"), "chmod 755 ${local.api_container.healthCheck.command[1]}")
    error_message = "The API's health check must exist and match its image."
  }
  assert {
    condition     = replace(regex("curl [^\"]*", file("${path.module}/../services/nginx/Dockerfile")), "$LISTEN_PORT", tostring(local.gateway_port)) == split(" ||", local.nginx_container.healthCheck.command[1])[0]
    error_message = "The gateway's health check must match its image."
  }
  assert {
    condition = alltrue([
      for name, container in { api = local.api_container, nginx = local.nginx_container } :
      jsonencode(regex("\nHEALTHCHECK --interval=(\\d+)s --timeout=(\\d+)s --start-period=(\\d+)s --retries=(\\d+)", file("${path.module}/../services/${name}/Dockerfile"))) ==
      jsonencode([for key in ["interval", "timeout", "startPeriod", "retries"] : tostring(container.healthCheck[key])])
    ])
    error_message = "Health checks must have the images' intervals, timeouts and retries."
  }
  assert {
    condition     = local.stop_timeout > tonumber(regex("\nstop_seconds=(\\d+)", file("${path.module}/../services/nginx/entrypoint"))[0]) && local.stop_timeout == tonumber(regex("stop_grace_period: (\\d+)s", file("${path.module}/../docker-compose.yaml"))[0])
    error_message = "A task must have more time to stop than the gateway needs, and the same as in docker-compose.yaml."
  }
  assert {
    condition     = local.nginx_container.linuxParameters.tmpfs[0].containerPath == "/tmp" && local.nginx_container.linuxParameters.tmpfs[0].size == tonumber(regex("/tmp:mode=1777,size=(\\d+)m", file("${path.module}/../docker-compose.yaml"))[0]) && contains(local.nginx_container.linuxParameters.tmpfs[0].mountOptions, "noexec")
    error_message = "The memory for the rendered configuration must match docker-compose.yaml and be noexec."
  }
  assert {
    condition     = aws_lb_target_group.this["blue"].health_check[0].path == "/readyz" && strcontains(file("${path.module}/../services/api/openapi.yaml"), "\n  ${aws_lb_target_group.this["blue"].health_check[0].path}:")
    error_message = "The load balancer's health check must call a path in the contract."
  }

  # --- Settings of the task alone ---
  assert {
    condition     = contains(local.api_container.environment, { name = "HOST", value = "127.0.0.1" })
    error_message = "The API must listen for the gateway only."
  }
  assert {
    condition     = contains(local.nginx_container.environment, { name = "TRUSTED_PROXIES", value = "172.31.0.0/16" })
    error_message = "Only the load balancer's X-Forwarded-For must be trusted."
  }
  assert {
    condition     = !strcontains(aws_ecs_task_definition.this.container_definitions, "PUBLIC_URL")
    error_message = "Without a domain the public URL is not known."
  }
  assert {
    condition     = local.api_container.portMappings == [] && local.nginx_container.portMappings[0].containerPort == 8081
    error_message = "Only the gateway's port must be mapped."
  }
  assert {
    condition     = contains(local.nginx_container.environment, { name = "RATE_LIMIT", value = "5" }) && contains(local.nginx_container.environment, { name = "RATE_BURST", value = "5" }) && contains(local.api_container.environment, { name = "VERSION", value = "1a2b3c4" })
    error_message = "The gateway must have its limit, and the API its version."
  }
  assert {
    condition     = aws_ecs_task_definition.this.cpu == "256" && aws_ecs_task_definition.this.memory == "512" && aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture == "X86_64"
    error_message = "The task must have Fargate's smallest size and the architecture of the images."
  }
  assert {
    condition = join(" ", distinct(concat(
      [regex("\nPLATFORM: Final = \"linux/(\\w+)\"", file("${path.module}/../ops/src/zama_ops/container_images.py"))[0]],
      [for command in regexall("\ndocker build (.*)VERSION=\"[$]TAG\"", file("${path.module}/../docs/deploy.md")) : try(regex("--platform linux/(\\w+)", command[0])[0], "none")],
    ))) == { X86_64 = "amd64", ARM64 = "arm64" }[aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture]
    error_message = "Every command that builds images for AWS must state the platform of the task."
  }
  assert {
    condition     = length(jsondecode(aws_ecs_task_definition.this.container_definitions)) == 2
    error_message = "Without Managed Prometheus there must be two containers."
  }
}

run "given_digests_select_the_images" {
  command = plan

  variables {
    image_digests = {
      api   = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      nginx = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    }
  }

  assert {
    condition     = endswith(local.api_container.image, "@sha256:${join("", [for i in range(64) : "a"])}")
    error_message = "The API's image must have its digest."
  }
  assert {
    condition     = endswith(local.nginx_container.image, "@sha256:${join("", [for i in range(64) : "b"])}")
    error_message = "The gateway's image must have its own digest."
  }
}
