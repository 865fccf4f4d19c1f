# The inputs. profiles/minimal.tfvars lists the defaults; profiles/production.tfvars enables every
# option.

# --- Service --------------------------------------------------------------------------------------

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-west-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, such as eu-west-1."
  }
}

variable "name_prefix" {
  description = "Name of the service and prefix of all resource names."
  type        = string
  default     = "zama-challenge"
  nullable    = false

  validation {
    # A bucket's name, which also has its purpose, the account and the region, is limited to 63
    # characters.
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name_prefix)) && !strcontains(var.name_prefix, "--")
    error_message = "name_prefix must have 3 to 20 characters of a-z, 0-9 and single hyphens, start with a letter and not end with a hyphen, such as zama-challenge."
  }
}

variable "tags" {
  description = "Tags for every resource, in addition to Service and ManagedBy."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "image_tag" {
  description = "Tag of both images in ECR: the first 7 characters of the commit."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "image_tag must name one build, such as 1a2b3c4; `latest` does not."
  }
}

variable "image_digests" {
  description = "Digests of both images. If set, tasks run exactly these images, and image_tag is only their version."
  type        = object({ api = string, nginx = string })
  default     = null

  validation {
    condition = var.image_digests == null ? true : alltrue([
      for digest in values(var.image_digests) : can(regex("^sha256:[0-9a-f]{64}$", digest))
    ])
    error_message = "image_digests must be as `docker push` prints them: sha256: and 64 hexadecimal digits."
  }
}

variable "desired_count" {
  description = "Initial number of tasks, and autoscaling's minimum."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.desired_count >= 1 && var.desired_count <= 100 && floor(var.desired_count) == var.desired_count
    error_message = "desired_count must be a whole number from 1 to 100. Use at least 2 to survive the loss of a zone."
  }
}

variable "task_size" {
  description = "CPU units (1024 per vCPU) and MiB of memory for all containers of a task."
  type        = object({ cpu = number, memory = number })
  default     = { cpu = 256, memory = 512 }
  nullable    = false

  validation {
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
    condition = contains(lookup({
      256  = [512, 1024, 2048]
      512  = range(1024, 4097, 1024)
      1024 = range(2048, 8193, 1024)
      2048 = range(4096, 16385, 1024)
      4096 = range(8192, 30721, 1024)
    }, var.task_size.cpu, []), var.task_size.memory)
    error_message = "task_size must be a size that Fargate supports, such as { cpu = 256, memory = 512 } or { cpu = 1024, memory = 2048 }."
  }
}

variable "rate_limit" {
  description = "Requests per second and burst that each task allows a client."
  type        = object({ rate = number, burst = number })
  default     = { rate = 5, burst = 5 }
  nullable    = false

  validation {
    condition = alltrue([
      for value in values(var.rate_limit) : value >= 1 && value <= 100000 && floor(value) == value
    ])
    error_message = "rate_limit must be whole numbers from 1 to 100000, such as { rate = 5, burst = 5 }."
  }
}

# --- The key --------------------------------------------------------------------------------------

locals {
  # The same checks as in the gateway's entrypoint: tests/grammar.py.
  key_pair = "[A-Za-z0-9._-]{1,64}=(CHANGEME|[A-Za-z0-9._~+/-][A-Za-z0-9._~+/=-]{15,127})"
}

variable "api_key_ssm_name" {
  description = "Name of the SSM parameter that holds the API keys."
  type        = string
  default     = "/zama/api/api_key"
  nullable    = false

  validation {
    # The roles can read only these: bootstrap/boundary.tf.
    condition     = can(regex("^/zama(/[A-Za-z0-9._-]+){1,14}$", var.api_key_ssm_name))
    error_message = "api_key_ssm_name must be a path below /zama, such as /zama/api/api_key."
  }
}

variable "api_key_value" {
  description = "Keys to write when the parameter is created or api_key_version rises: CLIENT=KEY pairs separated by spaces, or a single key. It is in neither plan nor state."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition = var.api_key_value == null ? true : can(regex(
      "^(CHANGEME|[A-Za-z0-9._~+/-]{16,128}| *${local.key_pair}( +${local.key_pair})* *)$", var.api_key_value
    ))
    error_message = "api_key_value must be CLIENT=KEY pairs separated by spaces, or one key without `=`. A key is 16 to 128 of A-Z a-z 0-9 . _ ~ + / = - (not = first), and a client name is 1 to 64 of A-Z a-z 0-9 . _ -."
  }
  validation {
    # The gateway compares keys without regard to case.
    condition = var.api_key_value == null ? true : (
      length(distinct(regexall("=[^ ]+", lower(var.api_key_value)))) == length(regexall("=[^ ]+", var.api_key_value))
    )
    error_message = "api_key_value has the same key twice, or two keys that differ only in case: every key must differ."
  }
}

variable "api_key_version" {
  description = "Increase it to write api_key_value again."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.api_key_version >= 1 && floor(var.api_key_version) == var.api_key_version
    error_message = "api_key_version must be a whole number of at least 1, such as 2 to write the key again."
  }
}

# --- Scaling and deployment -----------------------------------------------------------------------

variable "autoscaling" {
  description = "Maximum number of tasks, and targets for each task: CPU in percent, and requests per minute."
  type        = object({ max_count = number, cpu_percent = number, requests_per_minute = number })
  # 1,000 requests/s, a third of the capacity of 0.25 vCPU (docs/capacity.md).
  default  = { max_count = 10, cpu_percent = 60, requests_per_minute = 60000 }
  nullable = false

  validation {
    condition     = var.autoscaling.max_count >= var.desired_count && var.autoscaling.max_count <= 1000 && floor(var.autoscaling.max_count) == var.autoscaling.max_count
    error_message = "autoscaling.max_count must be a whole number, at least desired_count and at most 1000."
  }
  validation {
    condition     = var.autoscaling.cpu_percent >= 10 && var.autoscaling.cpu_percent <= 90
    error_message = "autoscaling.cpu_percent must be 10 to 90: a higher target leaves no room while new tasks start."
  }
  validation {
    condition     = var.autoscaling.requests_per_minute >= 60
    error_message = "autoscaling.requests_per_minute must be at least 60, one request a second."
  }
}

variable "deployment_strategy" {
  description = "rolling: ECS replaces task by task during apply. blue_green: CodeDeploy shifts traffic to a second set of tasks after apply."
  type        = string
  default     = "rolling"
  nullable    = false

  validation {
    condition     = contains(["rolling", "blue_green"], var.deployment_strategy)
    error_message = "deployment_strategy must be rolling or blue_green."
  }
}

# --- Network and TLS ------------------------------------------------------------------------------

variable "vpc" {
  description = "A separate VPC with private subnets and endpoints in the zones with these letters; add letters only at the end. Null: the account's default VPC."
  type        = object({ cidr = string, zones = list(string) })
  default     = null

  validation {
    # A network address with a prefix from /16, the largest that AWS allows, to /20, whose sixteen
    # subnets have 256 addresses each. A load balancer needs a /27.
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html#subnets-load-balancer
    condition = var.vpc == null ? true : alltrue([
      can(regex("^[0-9.]+/(1[6-9]|20)$", var.vpc.cidr)),
      try(cidrsubnet(var.vpc.cidr, 0, 0) == var.vpc.cidr, false),
    ])
    error_message = "vpc.cidr must be an IPv4 network of 4096 to 65536 addresses, such as 10.20.0.0/16."
  }
  validation {
    # A deployment doubles the tasks. Of a subnet's addresses AWS reserves 5, and up to 5 belong to
    # endpoints.
    # https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
    condition = var.vpc == null ? true : try(
      ceil(2 * var.autoscaling.max_count / length(var.vpc.zones)) + 10 <= pow(2, 28 - tonumber(split("/", var.vpc.cidr)[1])), true
    )
    error_message = "vpc.cidr has too few addresses for twice autoscaling.max_count tasks: use a larger network, such as 10.20.0.0/16, or more zones."
  }
  validation {
    condition     = var.vpc == null ? true : can(regex("^[a-h]{2,6}$", join("", var.vpc.zones))) && length(distinct(var.vpc.zones)) == length(join("", var.vpc.zones))
    error_message = "vpc.zones must be 2 to 6 different zone letters, such as [\"a\", \"b\"]: a load balancer needs two zones."
  }
}

variable "domain" {
  description = "DNS name of the service, with HTTPS only, and its Route 53 zone. Null: HTTP under the load balancer's name."
  type        = object({ name = string, zone_id = string })
  default     = null

  validation {
    condition     = var.domain == null ? true : can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain.name))
    error_message = "domain.name must be a host name, such as api.example.com."
  }
  validation {
    condition     = var.domain == null ? true : can(regex("^Z[A-Z0-9]{1,31}$", var.domain.zone_id))
    error_message = "domain.zone_id must be the id of a Route 53 hosted zone, such as Z0123456789ABCDEFGHIJ."
  }
}

variable "waf" {
  description = "Web application firewall: requests in 5 minutes from one address, networks that bypass the rules and networks that are blocked. Null: none."
  type = object({
    requests_per_5_minutes = number
    allowed_cidrs          = optional(list(string), [])
    denied_cidrs           = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.waf == null ? true : var.waf.requests_per_5_minutes >= 10 && var.waf.requests_per_5_minutes <= 2000000000
    error_message = "waf.requests_per_5_minutes must be 10 to 2000000000, WAF's limits."
  }
  validation {
    condition = var.waf == null ? true : alltrue([
      for cidr in concat(var.waf.allowed_cidrs, var.waf.denied_cidrs) : can(cidrhost(cidr, 0)) && !strcontains(cidr, ":") && !endswith(cidr, "/0")
    ])
    error_message = "waf.allowed_cidrs and waf.denied_cidrs must be IPv4 networks, such as 192.0.2.0/24, and not contain all addresses."
  }
}

# --- Observability --------------------------------------------------------------------------------

variable "alarm_email" {
  description = "E-mail address for pages and tickets; the owner must confirm the subscription. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_email == null ? true : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", var.alarm_email))
    error_message = "alarm_email must be an e-mail address, such as oncall@example.com."
  }
}

variable "pager_url" {
  description = "HTTPS endpoint of a pager, such as PagerDuty's integration for CloudWatch. It receives the pages, not the tickets. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.pager_url == null ? true : can(regex("^https://[^/\\s]+/\\S*$", var.pager_url))
    error_message = "pager_url must be an HTTPS URL, such as https://events.pagerduty.com/integration/KEY/enqueue."
  }
}

variable "log_retention_days" {
  description = "Retention of logs in days."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a period that CloudWatch Logs supports: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "container_insights_enabled" {
  description = "Whether ECS sends metrics of each task to CloudWatch."
  type        = bool
  default     = false
  nullable    = false
}

variable "managed_prometheus" {
  description = "Amazon Managed Prometheus with a collector in each task: the tag of the collector's image in the ECR repository zama-collector. Null: none."
  type        = object({ collector_tag = string })
  default     = null

  validation {
    condition     = var.managed_prometheus == null ? true : can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+$", var.managed_prometheus.collector_tag))
    error_message = "managed_prometheus.collector_tag must be a release of the AWS distribution of the OpenTelemetry collector, such as v0.45.0."
  }
}

variable "managed_grafana_enabled" {
  description = "Amazon Managed Grafana with Prometheus and CloudWatch as sources; needs IAM Identity Center in the account."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.managed_grafana_enabled || var.managed_prometheus != null
    error_message = "managed_grafana_enabled needs managed_prometheus as its source."
  }
}

variable "grafana_access" {
  description = "Users of Managed Grafana: the ids of groups and users in IAM Identity Center, by role (ADMIN, EDITOR, VIEWER). Others cannot sign in."
  type = map(object({
    group_ids = optional(list(string), [])
    user_ids  = optional(list(string), [])
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.grafana_access), ["ADMIN", "EDITOR", "VIEWER"])) == 0
    error_message = "grafana_access must have the keys ADMIN, EDITOR or VIEWER."
  }
  validation {
    # https://docs.aws.amazon.com/grafana/latest/APIReference/API_User.html
    condition = alltrue([
      for access in values(var.grafana_access) : length(concat(access.group_ids, access.user_ids)) > 0 && alltrue([
        for id in concat(access.group_ids, access.user_ids) : can(regex("^([0-9a-fA-F]{10}-)?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", id))
      ])
    ])
    error_message = "grafana_access must list at least one id for each role, as IAM Identity Center shows it, such as 9a67295558-7c1f0e2a-3b4d-4c5e-8f60-718293a4b5c6."
  }
}

# --- Protection -----------------------------------------------------------------------------------

variable "customer_managed_key_enabled" {
  description = "Whether the parameter, the logs, the alarms' topic and the metrics are encrypted with a separate KMS key."
  type        = bool
  default     = false
  nullable    = false
}

variable "access_logs_enabled" {
  description = "Whether the load balancer logs each request to a bucket, and the VPC of `vpc` each flow."
  type        = bool
  default     = false
  nullable    = false
}

variable "deletion_protection_enabled" {
  description = "Whether the load balancer, and buckets with content, are protected from deletion."
  type        = bool
  default     = false
  nullable    = false
}
