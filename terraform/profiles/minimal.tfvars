# The smallest deployment: HTTP in the default VPC, two of the smallest tasks, rolling deployments.
# These are the defaults, written out.
desired_count                = 2
task_size                    = { cpu = 256, memory = 512 }
deployment_strategy          = "rolling"
vpc                          = null
domain                       = null
waf                          = null
managed_prometheus           = null
managed_grafana_enabled      = false
customer_managed_key_enabled = false
access_logs_enabled          = false
container_insights_enabled   = false
deletion_protection_enabled  = false
