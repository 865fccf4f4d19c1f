variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-west-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, such as eu-west-1."
  }
}

variable "name_prefix" {
  description = "Name of the service in this account, as in ../variables.tf."
  type        = string
  default     = "zama-challenge"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name_prefix)) && !strcontains(var.name_prefix, "--")
    error_message = "name_prefix must have 3 to 20 characters of a-z, 0-9 and single hyphens, start with a letter and not end with a hyphen, such as zama-challenge."
  }
}

variable "github_repository" {
  description = "GitHub repository, as OWNER/NAME, whose workflows may deploy. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.github_repository == null ? true : can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository must be OWNER/NAME, such as example/zama-challenge, without wildcards."
  }
}

variable "github_ids" {
  description = "Numeric ids of the repository and its owner, if GitHub's tokens have them: see docs/github.md."
  type        = object({ owner = string, repository = string })
  default     = null

  validation {
    condition     = var.github_ids == null ? true : alltrue([for id in values(var.github_ids) : can(regex("^[1-9][0-9]*$", id))])
    error_message = "github_ids must have two numbers, such as { owner = \"583231\", repository = \"1296269\" }."
  }
  validation {
    condition     = var.github_ids == null || var.github_repository != null
    error_message = "github_ids needs github_repository."
  }
}

variable "zone_id" {
  description = "Route 53 zone of the service's domain: workflows may change its records. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.zone_id == null ? true : can(regex("^Z[A-Z0-9]{1,31}$", var.zone_id))
    error_message = "zone_id must be the id of a Route 53 hosted zone, such as Z0123456789ABCDEFGHIJ."
  }
}

variable "force_delete" {
  description = "Whether `terraform destroy` also deletes repositories with images and the bucket with its states."
  type        = bool
  default     = false
  nullable    = false
}
