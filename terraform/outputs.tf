output "alb_dns_name" {
  description = "The load balancer's own name."
  value       = aws_lb.this.dns_name
}

output "url" {
  description = "Where the service is called."
  value       = local.https ? "https://${var.domain.name}" : "http://${aws_lb.this.dns_name}"
}

output "ecr_api_repo_url" {
  description = "Where the API's images are pushed."
  value       = data.aws_ecr_repository.this["api"].repository_url
}

output "ecr_nginx_repo_url" {
  description = "Where the gateway's images are pushed."
  value       = data.aws_ecr_repository.this["nginx"].repository_url
}

output "image_tag" {
  description = "What is deployed; for a plan that is to change something else."
  value       = var.image_tag
}

output "image_digests" {
  description = "As the input of this name."
  value       = var.image_digests
}

output "cluster_name" {
  description = "For `aws ecs ... --cluster`."
  value       = aws_ecs_cluster.this.name
}

output "service_name" {
  description = "For `aws ecs ... --services`."
  value       = local.service_name
}

output "task_definition_arn" {
  description = "The task definition of this configuration."
  value       = aws_ecs_task_definition.this.arn
}

output "log_group_name" {
  description = "For `aws logs tail`."
  value       = aws_cloudwatch_log_group.this.name
}

output "api_key_parameter_name" {
  description = "Where the API keys are."
  value       = aws_ssm_parameter.api_keys.name
}

output "dashboard_url" {
  description = "The CloudWatch dashboard."
  value       = "https://${var.region}.console.aws.amazon.com/cloudwatch/home?region=${var.region}#dashboards/dashboard/${aws_cloudwatch_dashboard.this.dashboard_name}"
}

output "alarm_topic_arn" {
  description = "Where alarms are published."
  value       = aws_sns_topic.alarms.arn
}

output "codedeploy_deployment" {
  description = "Starts the shift to this task definition: `aws deploy create-deployment --cli-input-json`. Null with rolling deployments."
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
              }
            }
          }]
        })
      }
    }
  }) : null
}

output "prometheus_endpoint" {
  description = "Where metrics are queried. Null without Managed Prometheus."
  value       = one(aws_prometheus_workspace.this[*].prometheus_endpoint)
}

output "grafana_endpoint" {
  description = "Where dashboards are. Null without Managed Grafana."
  value       = one(aws_grafana_workspace.this[*].endpoint)
}
