# ARNs that the tests compare, because aws.tfmock.hcl has one for all resources of a type. Ids need
# no entry: the mock generates one for each resource.

override_resource {
  target = aws_lb_target_group.this["green"]
  values = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/zama-challenge-green/1" }
}

override_resource {
  target = aws_iam_role.execution
  values = { arn = "arn:aws:iam::123456789012:role/zama-challenge-execution" }
}

override_resource {
  target = aws_iam_role.task
  values = { arn = "arn:aws:iam::123456789012:role/zama-challenge-task" }
}

override_resource {
  target = aws_iam_role.codedeploy
  values = { arn = "arn:aws:iam::123456789012:role/zama-challenge-codedeploy" }
}

override_resource {
  target = aws_cloudwatch_log_group.flows
  values = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/vpc/zama-challenge" }
}

override_resource {
  target = aws_cloudwatch_log_group.waf
  values = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:aws-waf-logs-zama-challenge" }
}
