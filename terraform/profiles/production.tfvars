# All options enabled. Set `domain`, `alarm_email` and `grafana_access` for your site:
# terraform.tfvars.example. With blue/green deployments, autoscaling follows only the CPU
# (autoscaling.tf).
desired_count                = 3
task_size                    = { cpu = 512, memory = 1024 }
autoscaling                  = { max_count = 30, cpu_percent = 60, requests_per_minute = 120000 }
deployment_strategy          = "blue_green"
vpc                          = { cidr = "10.20.0.0/16", zones = ["a", "b", "c"] }
waf                          = { requests_per_5_minutes = 2000 }
managed_prometheus           = { collector_tag = "v0.45.0" }
managed_grafana_enabled      = true
customer_managed_key_enabled = true
access_logs_enabled          = true
container_insights_enabled   = true
deletion_protection_enabled  = true
log_retention_days           = 365
