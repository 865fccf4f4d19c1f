# The one parameter with the API keys, in the gateway's format: CLIENT=KEY pairs.

resource "aws_ssm_parameter" "api_keys" {
  name        = var.api_key_ssm_name
  description = "API keys of ${var.name_prefix}: CLIENT=KEY pairs separated by spaces"
  type        = "SecureString"
  key_id      = local.kms_key_arn

  # Written only at creation and when the version increases, and stored nowhere else. A deployment
  # without keys leaves the parameter unchanged. If it has no keys yet, the gateway refuses this
  # placeholder and does not start.
  value_wo = (
    var.api_key_value == null ? "unset" :
    strcontains(var.api_key_value, "=") ? var.api_key_value : "default=${var.api_key_value}"
  )
  value_wo_version = var.api_key_version
}
