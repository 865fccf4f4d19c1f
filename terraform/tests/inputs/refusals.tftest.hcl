# Every value that ../../variables.tf refuses. This folder links to that file and has no provider, so a run
# takes milliseconds. Run: terraform -chdir=terraform/tests/inputs test

variables {
  image_tag = "1a2b3c4"
}

run "region_refuses_what_is_no_region" {
  command = plan

  variables {
    region = "Ireland"
  }

  expect_failures = [var.region]
}

run "name_prefix_refuses_capitals" {
  command = plan

  variables {
    name_prefix = "Zama"
  }

  expect_failures = [var.name_prefix]
}

run "name_prefix_refuses_a_hyphen_at_the_end" {
  command = plan

  variables {
    name_prefix = "zama-"
  }

  expect_failures = [var.name_prefix]
}

run "name_prefix_refuses_two_hyphens_in_a_row" {
  command = plan

  variables {
    name_prefix = "zama--challenge"
  }

  expect_failures = [var.name_prefix]
}

run "name_prefix_refuses_more_than_20_characters" {
  command = plan

  variables {
    name_prefix = "abcdefghijklmnopqrstu"
  }

  expect_failures = [var.name_prefix]
}

run "image_tag_refuses_latest" {
  command = plan

  variables {
    image_tag = "latest"
  }

  expect_failures = [var.image_tag]
}

run "image_tag_refuses_an_empty_one" {
  command = plan

  variables {
    image_tag = ""
  }

  expect_failures = [var.image_tag]
}

run "image_digests_refuses_a_tag" {
  command = plan

  variables {
    image_digests = { api = "1a2b3c4", nginx = "1a2b3c4" }
  }

  expect_failures = [var.image_digests]
}

run "desired_count_refuses_none" {
  command = plan

  variables {
    desired_count = 0
  }

  expect_failures = [var.desired_count]
}

run "desired_count_refuses_more_than_100" {
  command = plan

  variables {
    desired_count = 101
    autoscaling   = { max_count = 200, cpu_percent = 60, requests_per_minute = 60000 }
  }

  expect_failures = [var.desired_count]
}

run "desired_count_refuses_half_a_task" {
  command = plan

  variables {
    desired_count = 1.5
  }

  expect_failures = [var.desired_count]
}

run "task_size_refuses_what_fargate_has_not" {
  command = plan

  variables {
    task_size = { cpu = 256, memory = 4096 }
  }

  expect_failures = [var.task_size]
}

run "task_size_refuses_an_unknown_cpu" {
  command = plan

  variables {
    task_size = { cpu = 300, memory = 1024 }
  }

  expect_failures = [var.task_size]
}

run "rate_limit_refuses_zero" {
  command = plan

  variables {
    rate_limit = { rate = 0, burst = 5 }
  }

  expect_failures = [var.rate_limit]
}

run "rate_limit_refuses_a_fraction" {
  command = plan

  variables {
    rate_limit = { rate = 5, burst = 0.5 }
  }

  expect_failures = [var.rate_limit]
}

run "api_key_ssm_name_refuses_a_name_without_path" {
  command = plan

  variables {
    api_key_ssm_name = "api_key"
  }

  expect_failures = [var.api_key_ssm_name]
}

run "api_key_ssm_name_refuses_what_the_roles_may_not_read" {
  command = plan

  variables {
    api_key_ssm_name = "/zama2/api_key"
  }

  expect_failures = [var.api_key_ssm_name]
}

run "api_key_value_refuses_a_newline" {
  command = plan

  variables {
    api_key_value = "acme=KEY1\nglobex=KEY2"
  }

  expect_failures = [var.api_key_value]
}

run "api_key_value_refuses_a_quote" {
  command = plan

  variables {
    api_key_value = "acme=KEY\""
  }

  expect_failures = [var.api_key_value]
}

run "api_key_value_refuses_nothing" {
  command = plan

  variables {
    api_key_value = ""
  }

  expect_failures = [var.api_key_value]
}

run "api_key_value_refuses_a_client_without_key" {
  command = plan

  variables {
    api_key_value = "acme="
  }

  expect_failures = [var.api_key_value]
}

run "api_key_version_refuses_zero" {
  command = plan

  variables {
    api_key_version = 0
  }

  expect_failures = [var.api_key_version]
}

run "autoscaling_refuses_less_than_desired_count" {
  command = plan

  variables {
    autoscaling = { max_count = 1, cpu_percent = 60, requests_per_minute = 60000 }
  }

  expect_failures = [var.autoscaling]
}

run "autoscaling_refuses_a_cpu_without_room" {
  command = plan

  variables {
    autoscaling = { max_count = 10, cpu_percent = 95, requests_per_minute = 60000 }
  }

  expect_failures = [var.autoscaling]
}

run "autoscaling_refuses_less_than_a_request_a_second" {
  command = plan

  variables {
    autoscaling = { max_count = 10, cpu_percent = 60, requests_per_minute = 1 }
  }

  expect_failures = [var.autoscaling]
}

run "deployment_strategy_refuses_an_unknown_one" {
  command = plan

  variables {
    deployment_strategy = "canary"
  }

  expect_failures = [var.deployment_strategy]
}

run "vpc_refuses_what_is_no_network" {
  command = plan

  variables {
    vpc = { cidr = "10.20.0.0", zones = ["a", "b"] }
  }

  expect_failures = [var.vpc]
}

run "vpc_refuses_a_network_too_small" {
  command = plan

  variables {
    vpc = { cidr = "10.20.0.0/25", zones = ["a", "b"] }
  }

  expect_failures = [var.vpc]
}

run "vpc_refuses_one_zone" {
  command = plan

  variables {
    vpc = { cidr = "10.20.0.0/16", zones = ["a"] }
  }

  expect_failures = [var.vpc]
}

run "vpc_refuses_the_same_zone_twice" {
  command = plan

  variables {
    vpc = { cidr = "10.20.0.0/16", zones = ["a", "a"] }
  }

  expect_failures = [var.vpc]
}

run "domain_refuses_a_url" {
  command = plan

  variables {
    domain = { name = "https://api.example.com", zone_id = "Z0123456789ABC" }
  }

  expect_failures = [var.domain]
}

run "domain_refuses_the_name_of_a_zone_for_its_id" {
  command = plan

  variables {
    domain = { name = "api.example.com", zone_id = "example.com" }
  }

  expect_failures = [var.domain]
}

run "waf_refuses_a_rate_that_it_cannot_count" {
  command = plan

  variables {
    waf = { requests_per_5_minutes = 9 }
  }

  expect_failures = [var.waf]
}

run "waf_refuses_all_addresses" {
  command = plan

  variables {
    waf = { requests_per_5_minutes = 2000, allowed_cidrs = ["0.0.0.0/0"] }
  }

  expect_failures = [var.waf]
}

run "waf_refuses_what_is_no_network" {
  command = plan

  variables {
    waf = { requests_per_5_minutes = 2000, denied_cidrs = ["example.com"] }
  }

  expect_failures = [var.waf]
}

run "alarm_email_refuses_what_is_no_address" {
  command = plan

  variables {
    alarm_email = "on call"
  }

  expect_failures = [var.alarm_email]
}

run "log_retention_days_refuses_what_cloudwatch_has_not" {
  command = plan

  variables {
    log_retention_days = 10
  }

  expect_failures = [var.log_retention_days]
}

run "managed_prometheus_refuses_a_moving_tag" {
  command = plan

  variables {
    managed_prometheus = { collector_tag = "latest" }
  }

  expect_failures = [var.managed_prometheus]
}

run "managed_grafana_enabled_refuses_to_be_without_prometheus" {
  command = plan

  variables {
    managed_grafana_enabled = true
  }

  expect_failures = [var.managed_grafana_enabled]
}

run "api_key_value_refuses_a_key_in_base64_that_would_name_a_client" {
  command = plan

  variables {
    api_key_value = "c2VjcmV0Cg=="
  }

  expect_failures = [var.api_key_value]
}

run "autoscaling_refuses_half_a_task" {
  command = plan

  variables {
    autoscaling = { max_count = 2.5, cpu_percent = 60, requests_per_minute = 60000 }
  }

  expect_failures = [var.autoscaling]
}

run "vpc_refuses_an_address_within_a_network" {
  command = plan

  variables {
    vpc = { cidr = "10.20.1.5/16", zones = ["a", "b"] }
  }

  expect_failures = [var.vpc]
}

run "vpc_refuses_a_network_too_large" {
  command = plan

  variables {
    vpc = { cidr = "10.0.0.0/8", zones = ["a", "b"] }
  }

  expect_failures = [var.vpc]
}

# --- Just outside the borders ---------------------------------------------------------------------
# Each variable in `expect_failures` must refuse, or the run fails.

run "what_is_one_too_little_is_refused" {
  command = plan

  variables {
    region             = "eu-west"
    name_prefix        = "ab"
    image_digests      = { api = "sha256:${join("", [for i in range(63) : "a"])}", nginx = "sha256:${join("", [for i in range(64) : "a"])}" }
    task_size          = { cpu = 512, memory = 512 }
    rate_limit         = { rate = 5, burst = 0 }
    api_key_ssm_name   = "/zama//api_key"
    api_key_value      = " acme=KEY"
    api_key_version    = 1.5
    autoscaling        = { max_count = 10, cpu_percent = 9, requests_per_minute = 60000 }
    domain             = { name = "example", zone_id = "Z0123456789ABC" }
    alarm_email        = "oncall@example"
    log_retention_days = 0
    managed_prometheus = { collector_tag = "v0.45" }
  }

  expect_failures = [
    var.region, var.name_prefix, var.image_digests, var.task_size, var.rate_limit, var.api_key_ssm_name, var.api_key_value,
    var.api_key_version, var.autoscaling, var.domain, var.alarm_email, var.log_retention_days, var.managed_prometheus,
  ]
}

run "what_is_one_too_much_is_refused" {
  command = plan

  variables {
    region             = "eu-west-10"
    name_prefix        = "-zama"
    image_tag          = join("", [for i in range(129) : "a"])
    task_size          = { cpu = 4096, memory = 31744 }
    rate_limit         = { rate = 100001, burst = 5 }
    api_key_ssm_name   = "/zama${join("", [for i in range(15) : "/a"])}"
    api_key_value      = join("", [for i in range(129) : "k"])
    autoscaling        = { max_count = 1001, cpu_percent = 60, requests_per_minute = 60000 }
    vpc                = { cidr = "10.20.0.0/16", zones = ["a", "i"] }
    domain             = { name = "api.example.com", zone_id = "Z${join("", [for i in range(32) : "A"])}" }
    waf                = { requests_per_5_minutes = 2000000001 }
    log_retention_days = 732
  }

  expect_failures = [
    var.region, var.name_prefix, var.image_tag, var.task_size, var.rate_limit, var.api_key_ssm_name, var.api_key_value,
    var.autoscaling, var.vpc, var.domain, var.waf, var.log_retention_days,
  ]
}

run "what_is_reserved_moving_or_of_another_kind_is_refused" {
  command = plan

  variables {
    image_tag          = "-1a2b3c4"
    image_digests      = { api = "sha256:${join("", [for i in range(64) : "A"])}", nginx = "sha256:${join("", [for i in range(64) : "a"])}" }
    api_key_ssm_name   = "/ssm/api_key"
    api_key_value      = "acme=KEY1  globex=KEY2"
    autoscaling        = { max_count = 10, cpu_percent = 91, requests_per_minute = 60000 }
    domain             = { name = "API.example.com", zone_id = "Z0123456789ABC" }
    waf                = { requests_per_5_minutes = 2000, denied_cidrs = ["2001:db8::/32"] }
    managed_prometheus = { collector_tag = "0.45.0" }
  }

  expect_failures = [
    var.image_tag, var.image_digests, var.api_key_ssm_name, var.api_key_value, var.autoscaling, var.domain, var.waf, var.managed_prometheus,
  ]
}
