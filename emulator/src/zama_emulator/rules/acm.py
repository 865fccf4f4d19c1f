"""Rules of ACM."""

from typing import Any, Final

from ministack.services import alb

from zama_emulator.rules import Given, rule

_API: Final = "acm/latest/APIReference/API_"
_INVALID: Final = "InvalidParameterException"


def _names(given: Given) -> list[str]:
    return [given["DomainName"], *(given.get("SubjectAlternativeNames") or [])]


@rule(
    "acm",
    "RequestCertificate",
    "InvalidDomainValidationOptionsException",
    f"{_API}RequestCertificate.html",
)
def first_name_is_short(given: Given) -> Any:
    """A certificate's first name has up to 64 characters."""
    return len(given["DomainName"]) > 64


@rule("acm", "RequestCertificate", "LimitExceededException", "acm/latest/userguide/acm-limits.html")
def alternative_names(given: Given) -> Any:
    """A certificate has up to 10 names."""
    return len({*_names(given)}) > 10


@rule(
    "acm",
    "RequestCertificate",
    "InvalidDomainValidationOptionsException",
    f"{_API}DomainValidationOption.html",
)
def validation_domain(given: Given) -> Any:
    """A validation domain is the name itself or one above it."""
    return any(
        one["DomainName"] != one["ValidationDomain"]
        and not one["DomainName"].endswith(f".{one['ValidationDomain']}")
        for one in given.get("DomainValidationOptions") or []
    )


@rule("acm", "DeleteCertificate", "ResourceInUseException", f"{_API}DeleteCertificate.html")
def certificate_is_unused(given: Given) -> Any:
    """A certificate that a listener uses cannot be deleted."""
    return given["CertificateArn"] in str([*alb._listeners.values()])
