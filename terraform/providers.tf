provider "aws" {
  region = var.region

  default_tags {
    tags = local.tags
  }
}

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

locals {
  tags = merge(var.tags, { Service = var.name_prefix, ManagedBy = "terraform" })

  account_id = data.aws_caller_identity.this.account_id
  partition  = data.aws_partition.this.partition
}
