# The certificate and the DNS name. The gateway sends HSTS: it reads X-Forwarded-Proto.

locals {
  https = var.domain != null

  # Null without a domain, because a load balancer's name may change.
  public_url = local.https ? "https://${var.domain.name}" : null
}

resource "aws_acm_certificate" "this" {
  count = local.https ? 1 : 0

  domain_name       = var.domain.name
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  # The certificate has one name, so one record validates it.
  validation = local.https ? tolist(aws_acm_certificate.this[0].domain_validation_options)[0] : null
}

resource "aws_route53_record" "validation" {
  count = local.https ? 1 : 0

  zone_id         = var.domain.zone_id
  name            = local.validation.resource_record_name
  type            = local.validation.resource_record_type
  records         = [local.validation.resource_record_value]
  ttl             = 300
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  count = local.https ? 1 : 0

  certificate_arn         = aws_acm_certificate.this[0].arn
  validation_record_fqdns = aws_route53_record.validation[*].fqdn
}

resource "aws_route53_record" "service" {
  count = local.https ? 1 : 0

  zone_id = var.domain.zone_id
  name    = var.domain.name
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}
