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
  description = "Role that workflows assume. Null without github_repository."
  value       = one(aws_iam_role.deploy[*].arn)
}
