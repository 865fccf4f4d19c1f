# The limits of each accepted value. The refused values are in inputs/refusals.tftest.hcl.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image_tag = "1a2b3c4"
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
    api_key_ssm_name   = "/zama/a"
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

run "the_longest_and_the_shortest_are_accepted" {
  command = plan

  variables {
    region                  = "us-gov-west-1"
    image_tag               = join("", [for i in range(128) : "a"])
    image_digests           = { api = "sha256:${join("", [for i in range(64) : "f"])}", nginx = "sha256:${join("", [for i in range(64) : "0"])}" }
    api_key_ssm_name        = "/zama${join("", [for i in range(14) : "/a"])}"
    api_key_value           = "${join("", [for i in range(64) : "c"])}=${join("", [for i in range(128) : "k"])}"
    autoscaling             = { max_count = 2, cpu_percent = 60, requests_per_minute = 60 }
    deployment_strategy     = "blue_green"
    vpc                     = { cidr = "10.20.0.0/16", zones = ["a", "b", "c", "d", "e", "f"] }
    domain                  = { name = "a.io", zone_id = "Z${join("", [for i in range(31) : "A"])}" }
    waf                     = { requests_per_5_minutes = 10, allowed_cidrs = ["0.0.0.0/1"], denied_cidrs = ["192.0.2.1/32"] }
    alarm_email             = "a@b.c"
    managed_prometheus      = { collector_tag = "v0.0.0" }
    managed_grafana_enabled = true
  }

  assert {
    condition     = length(aws_subnet.private) == 6 && length(distinct(concat(values(aws_subnet.public)[*].cidr_block, values(aws_subnet.private)[*].cidr_block))) == 12
    error_message = "Six zones must have twelve subnets that do not overlap."
  }
}
