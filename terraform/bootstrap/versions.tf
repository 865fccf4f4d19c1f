terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # The state begins in a local file, because this folder creates the bucket for states. Then move it
  # there: docs/deploy.md.
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { Service = "bootstrap", ManagedBy = "terraform" }
  }
}

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

locals {
  account_id = data.aws_caller_identity.this.account_id
  partition  = data.aws_partition.this.partition
}
