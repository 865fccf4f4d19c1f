output "repository_urls" {
  description = "Where images are pushed, by repository."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "backend_config" {
  description = "For the service: `terraform init -backend-config=backend.hcl`."
  value       = <<-HCL
    bucket = "${aws_s3_bucket.state.id}"
    region = "${var.region}"
  HCL
}

output "state_bucket" {
  description = "For the workflows: the repository's variable STATE_BUCKET."
  value       = aws_s3_bucket.state.id
}

output "deploy_role_arn" {
  description = "The role that workflows assume. Null without github_repository."
  value       = one(aws_iam_role.deploy[*].arn)
}
