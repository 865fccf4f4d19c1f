# The one parameter with the API keys, in the gateway's own form: CLIENT=KEY pairs.

resource "aws_ssm_parameter" "api_keys" {
  name        = var.api_key_ssm_name
  description = "API keys of ${var.name_prefix}: CLIENT=KEY pairs separated by spaces"
  type        = "SecureString"
  key_id      = local.kms_key_arn

  # Written when the parameter is created and when the version rises, and kept nowhere else. A deploy
  # that is not told the keys leaves them alone; should there be none yet, the gateway refuses this
  # word and does not start.
  value_wo = (
    var.api_key_value == null ? "unset" :
    strcontains(var.api_key_value, "=") ? var.api_key_value : "default=${var.api_key_value}"
  )
  value_wo_version = var.api_key_version
}
