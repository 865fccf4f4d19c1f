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
      # An image that matches a rule is exempt from all later rules. Every merge adds an image, and
      # deployments are manual, so the running image may be older than the newest fifty.
      # https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html#lp_evaluation_rules
      {
        rulePriority = 1
        description  = "Deployed images, tagged by zama deploy: the running one and those to roll back to"
        selection    = { tagStatus = "tagged", tagPrefixList = ["deployed-"], countType = "imageCountMoreThan", countNumber = 100 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Signatures and attestations, several for each image, tagged with its digest"
        selection    = { tagStatus = "tagged", tagPrefixList = ["sha256-"], countType = "imageCountMoreThan", countNumber = 1000 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 3
        description  = "Untagged images: failed pushes, and signatures that refer to their image instead of having a tag"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 365 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 4
        description  = "Versions that were never deployed"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 50 }
        action       = { type = "expire" }
      },
    ]
  })
}
