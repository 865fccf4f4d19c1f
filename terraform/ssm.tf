# The one parameter with the API keys, in the gateway's format: CLIENT=KEY pairs.

resource "aws_ssm_parameter" "api_keys" {
  name        = var.api_key_ssm_name
  description = "API keys of ${var.name_prefix}: CLIENT=KEY pairs separated by spaces"
  type        = "SecureString"
  key_id      = local.kms_key_arn

  # Written only at creation and when the version increases, and stored nowhere else. A deployment
  # without keys leaves the parameter unchanged. SSM refuses the empty value, so neither creation nor
  # a higher version can write anything but keys.
  value_wo = (
    var.api_key_value == null ? "" :
    strcontains(var.api_key_value, "=") ? var.api_key_value : "default=${var.api_key_value}"
  )
  value_wo_version = var.api_key_version

  lifecycle {
    # To change one of these in place, the provider sends the value that it does not have, and SSM
    # refuses the call. docs/operating.md describes the step to another KMS key.
    ignore_changes = [description, key_id]
  }
}
