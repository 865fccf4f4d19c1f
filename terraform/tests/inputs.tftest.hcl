# Every refusal, and the borders of what is accepted.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

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

run "api_key_ssm_name_refuses_what_is_reserved" {
  command = plan

  variables {
    api_key_ssm_name = "/aws/api_key"
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

run "the_borders_are_accepted_below" {
  command = plan

  variables {
    name_prefix        = "abc"
    image_tag          = "v1.2.3_final-1"
    image_digests      = { api = "sha256:${strrev(join("", [for i in range(64) : "a"]))}", nginx = "sha256:${join("", [for i in range(64) : "0"])}" }
    desired_count      = 1
    task_size          = { cpu = 256, memory = 512 }
    rate_limit         = { rate = 1, burst = 1 }
    api_key_ssm_name   = "/a"
    api_key_value      = "k"
    api_key_version    = 1
    autoscaling        = { max_count = 1, cpu_percent = 10, requests_per_minute = 60 }
    vpc                = { cidr = "10.20.0.0/24", zones = ["a", "b"] }
    waf                = { requests_per_5_minutes = 10, allowed_cidrs = ["192.0.2.1/32"] }
    log_retention_days = 1
  }
}

run "the_borders_are_accepted_above" {
  command = plan

  variables {
    name_prefix        = "abcdefghijklmnopqrst"
    desired_count      = 100
    task_size          = { cpu = 4096, memory = 30720 }
    rate_limit         = { rate = 100000, burst = 100000 }
    api_key_value      = "acme=KEY1 acme=KEY2== globex=a.b_c~d+e/f-g"
    autoscaling        = { max_count = 1000, cpu_percent = 90, requests_per_minute = 1000000 }
    vpc                = { cidr = "10.0.0.0/16", zones = ["a", "b", "c"] }
    waf                = { requests_per_5_minutes = 2000000000 }
    log_retention_days = 731
  }
}
