output "alb_dns_name" {
  description = "DNS name of the load balancer."
  value       = aws_lb.this.dns_name
}

output "url" {
  description = "URL of the service."
  value       = coalesce(local.public_url, "http://${aws_lb.this.dns_name}")
}

output "ecr_api_repo_url" {
  description = "URL of the repository for the API's images."
  value       = data.aws_ecr_repository.this["api"].repository_url
}

output "ecr_nginx_repo_url" {
  description = "URL of the repository for the gateway's images."
  value       = data.aws_ecr_repository.this["nginx"].repository_url
}

output "image_tag" {
  description = "Deployed image tag, for plans that change something else."
  value       = var.image_tag
}

output "image_digests" {
  description = "Deployed image digests, as in the input of this name."
  value       = var.image_digests
}

output "cluster_name" {
  description = "Name of the cluster, for `aws ecs ... --cluster`."
  value       = aws_ecs_cluster.this.name
}

output "service_name" {
  description = "Name of the service, for `aws ecs ... --services`."
  value       = local.service_name
}

output "task_definition_arn" {
  description = "ARN of this configuration's task definition."
  value       = aws_ecs_task_definition.this.arn
}

output "log_group_name" {
  description = "Name of the log group, for `aws logs tail`."
  value       = aws_cloudwatch_log_group.this.name
}

output "api_key_parameter_name" {
  description = "Name of the SSM parameter with the API keys."
  value       = aws_ssm_parameter.api_keys.name
}

output "dashboard_url" {
  description = "URL of the CloudWatch dashboard."
  value       = "https://${var.region}.console.aws.amazon.com/cloudwatch/home?region=${var.region}#dashboards/dashboard/${aws_cloudwatch_dashboard.this.dashboard_name}"
}

output "alarm_topic_arns" {
  description = "ARNs of the topics that alarms are published to, by severity: page, ticket, and with Managed Prometheus its heartbeat."
  value       = { for severity, topic in aws_sns_topic.alarms : severity => topic.arn }
}

output "codedeploy_deployment" {
  description = "Input for `aws deploy create-deployment --cli-input-json`, which shifts traffic to this task definition. Null with rolling deployments."
  value = local.blue_green ? jsonencode({
    applicationName     = aws_codedeploy_app.this[0].name
    deploymentGroupName = aws_codedeploy_deployment_group.this[0].deployment_group_name
    revision = {
      revisionType = "AppSpecContent"
      appSpecContent = {
        content = jsonencode({
          version = "0.0"
          Resources = [{
            TargetService = {
              Type = "AWS::ECS::Service"
              Properties = {
                TaskDefinition = aws_ecs_task_definition.this.arn
                LoadBalancerInfo = {
                  ContainerName = "nginx"
                  ContainerPort = local.gateway_port
                }
                NetworkConfiguration = {
                  AwsvpcConfiguration = {
                    Subnets        = sort(local.task_subnet_ids)
                    SecurityGroups = [aws_security_group.tasks.id]
                    AssignPublicIp = local.own_vpc ? "DISABLED" : "ENABLED"
                  }
                }
              }
            }
          }]
        })
      }
    }
  }) : null
}

output "prometheus_endpoint" {
  description = "Endpoint for metric queries. Null without Managed Prometheus."
  value       = one(aws_prometheus_workspace.this[*].prometheus_endpoint)
}

output "grafana_endpoint" {
  description = "Endpoint of Grafana. Null without Managed Grafana."
  value       = one(aws_grafana_workspace.this[*].endpoint)
}
