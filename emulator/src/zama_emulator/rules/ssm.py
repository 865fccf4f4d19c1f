"""Rules of Systems Manager's Parameter Store."""

import re
from typing import Any, Final

from ministack.services import ssm

from zama_emulator.rules import Given, rule, state

_PUT: Final = "systems-manager/latest/APIReference/API_PutParameter.html"
_GUIDE: Final = "systems-manager/latest/userguide/parameter-store-"
_NAMES: Final = "systems-manager/latest/userguide/sysman-paramstore-su-create.html"
_INVALID: Final = "ValidationException"


def _existing(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = ssm._parameters.get(given["Name"]) or {}
    return found


def _kind(given: Given) -> str | None:
    return given.get("Type") or _existing(given).get("Type")


@rule("ssm", "PutParameter", _INVALID, _PUT)
def value_is_not_empty(given: Given) -> Any:
    """A parameter has a value of at least one character."""
    return not given["Value"]


@rule("ssm", "PutParameter", _INVALID, f"{_GUIDE}advanced-parameters.html")
def value_size(given: Given) -> Any:
    """A value has up to 4 KB in the standard tier, and 8 KB in the advanced tier."""
    tier = given.get("Tier") or _existing(given).get("Tier") or "Standard"
    return len(given["Value"].encode()) > (4096 if tier == "Standard" else 8192)


@rule("ssm", "PutParameter", _INVALID, _NAMES)
def parameter_name(given: Given) -> Any:
    """A name has the characters a-zA-Z0-9_.-/, and a slash in front if it has one at all."""
    name = given["Name"]
    return (
        not re.fullmatch(r"[\w./-]{1,1011}", name, re.ASCII)
        or ("/" in name and not name.startswith("/"))
        or name.endswith("/")
        or "//" in name
    )


@rule("ssm", "PutParameter", _INVALID, _NAMES)
def reserved_name(given: Given) -> Any:
    """A name does not begin with aws or ssm, in any case."""
    return re.match(r"/?(aws|ssm)", given["Name"], re.IGNORECASE)


@rule("ssm", "PutParameter", "HierarchyLevelLimitExceededException", _PUT)
def hierarchy_depth(given: Given) -> Any:
    """A name has at most 15 levels."""
    return given["Name"].count("/") > 15


@rule("ssm", "PutParameter", _INVALID, _PUT)
def new_parameter_has_a_type(given: Given) -> Any:
    """A new parameter has a type."""
    return not _kind(given)


@rule("ssm", "PutParameter", "HierarchyTypeMismatchException", _PUT)
def type_stays(given: Given) -> Any:
    """A parameter's type cannot change from or to SecureString."""
    before = _existing(given).get("Type")
    return before and (before == "SecureString") != (_kind(given) == "SecureString")


@rule("ssm", "PutParameter", _INVALID, _PUT)
def key_is_for_secure_strings(given: Given) -> Any:
    """Only a SecureString has a key."""
    return given.get("KeyId") and _kind(given) != "SecureString"


@rule("ssm", "PutParameter", "InvalidKeyId", _PUT)
def key_is_usable(given: Given) -> Any:
    """A parameter's key exists and is enabled."""
    return given.get("KeyId") and not state.key_is_enabled(given["KeyId"])


@rule("ssm", "PutParameter", "ParameterPatternMismatchException", _PUT)
def allowed_pattern(given: Given) -> Any:
    """A value matches the parameter's own pattern."""
    pattern = given.get("AllowedPattern")
    return pattern and not re.search(pattern, given["Value"])


@rule("ssm", "PutParameter", "ParameterLimitExceeded", f"{_GUIDE}advanced-parameters.html")
def tier_does_not_shrink(given: Given) -> Any:
    """An advanced parameter does not become a standard one."""
    return _existing(given).get("Tier") == "Advanced" and given.get("Tier") == "Standard"
