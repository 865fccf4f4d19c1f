terraform {
  # 1.11: write-only arguments, by which the key stays out of plan and state.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }

  # The bucket and the region come from `terraform init -backend-config`; see README.md.
  # `terraform init -backend=false` is enough to validate and to run the tests.
  backend "s3" {
    key          = "service/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}
