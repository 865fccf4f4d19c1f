output "repository_urls" {
  description = "Registry URL by repository name."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "backend_config" {
  description = "Backend settings of the service, for `terraform init -backend-config=backend.hcl`."
  value       = <<-HCL
    bucket = "${aws_s3_bucket.state.id}"
    region = "${var.region}"
  HCL
}

output "state_bucket" {
  description = "State bucket, for the workflows' variable STATE_BUCKET."
  value       = aws_s3_bucket.state.id
}

output "deploy_role_arn" {
  description = "Role that applies, for the secret AWS_OIDC_ROLE_ARN. Null without github_repository."
  value       = one(aws_iam_role.deploy[*].arn)
}

output "workflow_role_arns" {
  description = "Roles of the other jobs, for the variables AWS_PUSH_ROLE_ARN, AWS_PLAN_ROLE_ARN and AWS_DRIFT_ROLE_ARN."
  value       = { for name, role in aws_iam_role.workflow : name => role.arn }
}
