# Names for what the tests tell apart; aws.tfmock.hcl has one value for all resources of a type.

# --- Network --------------------------------------------------------------------------------------

override_resource {
  target = aws_vpc.this
  values = { id = "vpc-own" }
}

override_resource {
  target = aws_internet_gateway.this
  values = { id = "igw-own" }
}

override_resource {
  target = aws_route_table.public
  values = { id = "rtb-public" }
}

override_resource {
  target = aws_route_table.private
  values = { id = "rtb-private" }
}

override_resource {
  target = aws_subnet.public
  values = { id = "subnet-public" }
}

override_resource {
  target = aws_subnet.private
  values = { id = "subnet-private" }
}

override_resource {
  target = aws_vpc_endpoint.s3
  values = { id = "vpce-s3", prefix_list_id = "pl-s3" }
}

override_resource {
  target = aws_security_group.load_balancer
  values = { id = "sg-load-balancer" }
}

override_resource {
  target = aws_security_group.tasks
  values = { id = "sg-tasks" }
}

override_resource {
  target = aws_security_group.endpoints
  values = { id = "sg-endpoints" }
}

# --- Load balancer --------------------------------------------------------------------------------

override_resource {
  target = aws_lb_target_group.this["green"]
  values = {
    arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/zama-challenge-green/1"
    arn_suffix = "targetgroup/zama-challenge-green/1"
  }
}

# --- Roles ----------------------------------------------------------------------------------------

override_resource {
  target = aws_iam_role.execution
  values = { id = "zama-challenge-execution", arn = "arn:aws:iam::123456789012:role/zama-challenge-execution" }
}

override_resource {
  target = aws_iam_role.task
  values = { id = "zama-challenge-task", arn = "arn:aws:iam::123456789012:role/zama-challenge-task" }
}

override_resource {
  target = aws_iam_role.codedeploy
  values = { id = "zama-challenge-codedeploy", arn = "arn:aws:iam::123456789012:role/zama-challenge-codedeploy" }
}

override_resource {
  target = aws_cloudwatch_log_group.this
  values = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/ecs/zama-challenge" }
}

# --- Repositories ---------------------------------------------------------------------------------

override_data {
  target = data.aws_ecr_repository.this["api"]
  values = {
    arn            = "arn:aws:ecr:eu-west-1:123456789012:repository/zama-api"
    repository_url = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/zama-api"
  }
}

override_data {
  target = data.aws_ecr_repository.this["nginx"]
  values = {
    arn            = "arn:aws:ecr:eu-west-1:123456789012:repository/zama-nginx"
    repository_url = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/zama-nginx"
  }
}

override_data {
  target = data.aws_ecr_repository.collector
  values = {
    arn            = "arn:aws:ecr:eu-west-1:123456789012:repository/zama-collector"
    repository_url = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/zama-collector"
  }
}

# --- Logs -----------------------------------------------------------------------------------------

override_resource {
  target = aws_s3_bucket.access_logs
  values = { id = "zama-access-logs", arn = "arn:aws:s3:::zama-access-logs" }
}

override_resource {
  target = aws_cloudwatch_log_group.flows
  values = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/vpc/zama-challenge" }
}

override_resource {
  target = aws_cloudwatch_log_group.waf
  values = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:aws-waf-logs-zama-challenge" }
}

override_resource {
  target = aws_wafv2_web_acl.this
  values = { arn = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/zama-challenge/1" }
}
