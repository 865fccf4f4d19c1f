# How a new version replaces the old one, and the number of tasks.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

mock_provider "aws" {
  alias           = "us_east_1"
  source          = "./tests/mocks"
  override_during = plan
}

run "a_rolling_deployment_keeps_all_tasks_and_can_roll_back" {
  command = plan

  assert {
    condition     = aws_ecs_service.rolling[0].deployment_minimum_healthy_percent == 100 && aws_ecs_service.rolling[0].deployment_maximum_percent == 200
    error_message = "New tasks must be healthy before old ones stop."
  }
  assert {
    condition     = aws_ecs_service.rolling[0].deployment_circuit_breaker[0].enable && aws_ecs_service.rolling[0].deployment_circuit_breaker[0].rollback
    error_message = "A version whose tasks fail must be rolled back."
  }
  assert {
    condition     = aws_ecs_service.rolling[0].alarms[0].enable && aws_ecs_service.rolling[0].alarms[0].rollback && toset(aws_ecs_service.rolling[0].alarms[0].alarm_names) == toset(["zama-challenge-ServerErrors", "zama-challenge-LoadBalancerErrors"])
    error_message = "A version that raises an alarm must be rolled back."
  }
  assert {
    condition     = aws_ecs_service.rolling[0].wait_for_steady_state
    error_message = "`apply` must wait for the end of the deployment."
  }
  assert {
    condition     = !coalesce(aws_ecs_service.rolling[0].enable_execute_command, false)
    error_message = "Nobody may open a shell in a task."
  }
  assert {
    condition     = aws_ecs_service.rolling[0].availability_zone_rebalancing == "ENABLED"
    error_message = "After the loss of a zone, tasks must be redistributed."
  }
  assert {
    condition     = alltrue([for name in local.rollback_alarm_names : contains(values(aws_cloudwatch_metric_alarm.computed)[*].alarm_name, name)])
    error_message = "The rollback alarms must exist."
  }
  assert {
    condition     = length(aws_ecs_service.blue_green) == 0 && length(aws_codedeploy_app.this) == 0 && length(aws_lb_listener.test) == 0 && !contains(keys(aws_vpc_security_group_ingress_rule.callers), "8443") && output.codedeploy_deployment == null
    error_message = "There must be no CodeDeploy."
  }
  assert {
    condition = alltrue([
      for balancer in aws_ecs_service.rolling[0].load_balancer :
      balancer.target_group_arn == aws_lb_target_group.this["blue"].arn && balancer.container_name == "nginx" && balancer.container_port == 8081
    ]) && length(aws_ecs_service.rolling[0].load_balancer) == 1
    error_message = "The load balancer must reach the gateway."
  }
  assert {
    condition     = aws_ecs_service.rolling[0].desired_count == 2 && aws_ecs_service.rolling[0].launch_type == "FARGATE" && aws_ecs_service.rolling[0].task_definition == aws_ecs_task_definition.this.arn && aws_ecs_service.rolling[0].network_configuration[0].security_groups == toset([aws_security_group.tasks.id])
    error_message = "Two tasks of this definition must run, in their own security group."
  }
  assert {
    condition     = aws_ecs_service.rolling[0].health_check_grace_period_seconds > local.nginx_container.healthCheck.startPeriod + aws_lb_target_group.this["blue"].health_check[0].interval * aws_lb_target_group.this["blue"].health_check[0].healthy_threshold
    error_message = "A task must have time to start before the load balancer's health checks count."
  }
}

run "blue_green_shifts_weights_between_two_target_groups" {
  command = plan

  variables {
    deployment_strategy = "blue_green"
  }

  assert {
    condition     = toset(keys(aws_lb_target_group.this)) == toset(["blue", "green"])
    error_message = "There must be two target groups."
  }
  assert {
    condition     = toset(aws_lb_listener.blue_green[0].default_action[0].forward[0].target_group[*].weight) == toset([100, 0])
    error_message = "Initially, all requests must go to one of them."
  }
  assert {
    condition     = aws_ecs_service.blue_green[0].deployment_controller[0].type == "CODE_DEPLOY" && length(aws_ecs_service.rolling) == 0
    error_message = "CodeDeploy must control the deployment."
  }
  assert {
    condition     = !coalesce(aws_ecs_service.blue_green[0].enable_execute_command, false)
    error_message = "Nobody may open a shell in a task."
  }
  assert {
    condition     = aws_codedeploy_deployment_group.this[0].deployment_config_name == "CodeDeployDefault.ECSCanary10Percent5Minutes" && aws_codedeploy_deployment_group.this[0].deployment_style[0].deployment_type == "BLUE_GREEN"
    error_message = "A tenth of the requests must shift first."
  }
  assert {
    condition     = aws_codedeploy_deployment_group.this[0].auto_rollback_configuration[0].enabled && contains(aws_codedeploy_deployment_group.this[0].auto_rollback_configuration[0].events, "DEPLOYMENT_STOP_ON_ALARM") && aws_codedeploy_deployment_group.this[0].alarm_configuration[0].enabled
    error_message = "An alarm must cause a rollback."
  }
  assert {
    condition     = jsondecode(jsondecode(output.codedeploy_deployment).revision.appSpecContent.content).Resources[0].TargetService.Properties.TaskDefinition == aws_ecs_task_definition.this.arn
    error_message = "The deployment must use this task definition."
  }
  assert {
    condition = alltrue([
      for balancer in aws_ecs_service.blue_green[0].load_balancer :
      balancer.target_group_arn == aws_lb_target_group.this["blue"].arn && balancer.container_name == "nginx" && balancer.container_port == 8081
    ]) && length(aws_ecs_service.blue_green[0].load_balancer) == 1
    error_message = "The load balancer must reach the gateway."
  }
  assert {
    condition     = aws_ecs_service.blue_green[0].desired_count == 2 && aws_ecs_service.blue_green[0].launch_type == "FARGATE" && aws_ecs_service.blue_green[0].task_definition == aws_ecs_task_definition.this.arn && aws_ecs_service.blue_green[0].network_configuration[0].security_groups == toset([aws_security_group.tasks.id])
    error_message = "Two tasks of this definition must run, in their own security group."
  }
  assert {
    condition     = aws_ecs_service.blue_green[0].health_check_grace_period_seconds > local.nginx_container.healthCheck.startPeriod + aws_lb_target_group.this["blue"].health_check[0].interval * aws_lb_target_group.this["blue"].health_check[0].healthy_threshold
    error_message = "A task must have time to start before the load balancer's health checks count."
  }
  assert {
    condition     = contains(aws_codedeploy_deployment_group.this[0].auto_rollback_configuration[0].events, "DEPLOYMENT_FAILURE") && aws_codedeploy_deployment_group.this[0].alarm_configuration[0].alarms == toset(local.rollback_alarm_names) && length(local.rollback_alarm_names) == 2
    error_message = "A failure and both rollback alarms must cause a rollback."
  }
  assert {
    condition     = aws_codedeploy_deployment_group.this[0].deployment_style[0].deployment_option == "WITH_TRAFFIC_CONTROL" && aws_codedeploy_deployment_group.this[0].service_role_arn == aws_iam_role.codedeploy[0].arn && aws_codedeploy_deployment_group.this[0].blue_green_deployment_config[0].terminate_blue_instances_on_deployment_success[0].termination_wait_time_in_minutes >= 10
    error_message = "The old tasks must be kept for a rollback for at least ten minutes."
  }
  assert {
    condition     = aws_codedeploy_deployment_group.this[0].blue_green_deployment_config[0].deployment_ready_option[0].action_on_timeout == "STOP_DEPLOYMENT" && aws_codedeploy_deployment_group.this[0].load_balancer_info[0].target_group_pair_info[0].test_traffic_route[0].listener_arns == toset([aws_lb_listener.test[0].arn])
    error_message = "New tasks must be tested before they get requests."
  }
}

run "autoscaling_follows_cpu_and_requests" {
  command = plan

  assert {
    condition     = aws_appautoscaling_target.this.min_capacity == 2 && aws_appautoscaling_target.this.max_capacity == 10
    error_message = "There must be 2 to 10 tasks."
  }
  assert {
    condition     = aws_appautoscaling_policy.cpu.target_tracking_scaling_policy_configuration[0].target_value == 60
    error_message = "The CPU target must be 60 %."
  }
  assert {
    condition     = aws_appautoscaling_policy.requests[0].target_tracking_scaling_policy_configuration[0].target_value == 60000 && aws_appautoscaling_policy.requests[0].target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].resource_label == "app/zama-challenge/1/targetgroup/zama-challenge-blue/1"
    error_message = "The target must be 60,000 requests a minute from this target group."
  }
  assert {
    condition = alltrue([
      for policy in [aws_appautoscaling_policy.cpu, aws_appautoscaling_policy.requests[0]] :
      policy.target_tracking_scaling_policy_configuration[0].scale_out_cooldown <= 60 && policy.target_tracking_scaling_policy_configuration[0].scale_in_cooldown >= 300
    ])
    error_message = "Scaling out must be faster than scaling in."
  }
  assert {
    condition     = aws_appautoscaling_target.this.resource_id == "service/zama-challenge/zama-challenge" && aws_appautoscaling_target.this.service_namespace == "ecs" && aws_appautoscaling_target.this.scalable_dimension == "ecs:service:DesiredCount"
    error_message = "Autoscaling must scale the number of this service's tasks."
  }
  assert {
    condition = alltrue([
      for policy in [aws_appautoscaling_policy.cpu, aws_appautoscaling_policy.requests[0]] :
      policy.policy_type == "TargetTrackingScaling" && policy.resource_id == aws_appautoscaling_target.this.resource_id &&
      policy.service_namespace == aws_appautoscaling_target.this.service_namespace && policy.scalable_dimension == aws_appautoscaling_target.this.scalable_dimension
    ])
    error_message = "Both policies must scale the same service."
  }
  assert {
    condition     = aws_appautoscaling_policy.cpu.target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type == "ECSServiceAverageCPUUtilization" && aws_appautoscaling_policy.requests[0].target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type == "ALBRequestCountPerTarget"
    error_message = "One policy must follow the tasks' CPU, and the other the requests of each target."
  }
}
