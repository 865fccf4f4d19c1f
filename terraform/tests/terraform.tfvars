# Every run needs it, because it has no default.
image_tag = "1a2b3c4"

# Instead of the values in a site's terraform.tfvars.
alarm_email    = null
domain         = null
grafana_access = {}
tags           = {}
