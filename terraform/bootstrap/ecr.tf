# The repositories, separate from the service because images are pushed before it is planned.

resource "aws_ecr_repository" "this" {
  # checkov:skip=CKV_AWS_136:The images contain no secret; ECR encrypts them with its own key
  for_each = toset([
    "zama-api",
    "zama-nginx",
    # A copy of the AWS distribution of the OpenTelemetry collector, because tasks in private
    # subnets cannot pull from a public registry.
    "zama-collector",
  ])

  name                 = each.key
  image_tag_mutability = "IMMUTABLE"
  force_delete         = var.force_delete

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Untagged images are not deployed"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 7 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Enough versions to roll back to"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 50 }
        action       = { type = "expire" }
      },
    ]
  })
}
