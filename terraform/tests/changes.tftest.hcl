# Changes of a deployment that AWS would refuse if Terraform made them in place.

mock_provider "aws" {
  source = "./tests/mocks"
}

mock_provider "aws" {
  alias  = "us_east_1"
  source = "./tests/mocks"
}

variables {
  deployment_strategy = "blue_green"
  api_key_value       = "acme=SECRET-0123456789"
}

run "a_deployment_in_two_zones_with_aws_key" {
  variables {
    vpc = { cidr = "10.20.0.0/20", zones = ["a", "b"] }
  }

  assert {
    condition     = length(aws_ecs_service.blue_green[0].network_configuration[0].subnets) == 2 && aws_ssm_parameter.api_keys.key_id != local.kms_key_arn
    error_message = "The first deployment must use both zones, and the key of AWS."
  }
}

run "a_new_zone_and_a_new_key_change_neither_service_nor_parameter" {
  variables {
    vpc                          = { cidr = "10.20.0.0/20", zones = ["a", "b", "c"] }
    customer_managed_key_enabled = true
    image_tag                    = "2b3c4d5"
  }

  assert {
    condition     = length(aws_ecs_service.blue_green[0].network_configuration[0].subnets) == 2
    error_message = "ECS refuses a new network configuration of a service that CodeDeploy controls."
  }
  assert {
    condition     = jsondecode(jsondecode(output.codedeploy_deployment).revision.appSpecContent.content).Resources[0].TargetService.Properties.NetworkConfiguration.AwsvpcConfiguration == jsondecode(jsonencode({ Subnets = sort(values(aws_subnet.private)[*].id), SecurityGroups = [aws_security_group.tasks.id], AssignPublicIp = "DISABLED" })) && length(aws_subnet.private) == 3
    error_message = "The next deployment must use all three zones, without public addresses."
  }
  assert {
    condition     = aws_ssm_parameter.api_keys.key_id != local.kms_key_arn && local.kms_key_arn != null
    error_message = "A new key of the parameter would overwrite its value."
  }
}
