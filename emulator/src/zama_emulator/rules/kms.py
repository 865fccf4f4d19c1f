"""Rules of KMS."""

import json
from typing import Any, Final

from ministack.services import kms

from zama_emulator.rules import Given, rule, state

_API: Final = "kms/latest/APIReference/API_"
_INVALID: Final = "ValidationException"


def _key(given: Given, name: str = "KeyId") -> dict[str, Any]:
    found: dict[str, Any] = kms._resolve_key(given.get(name) or "") or {}
    return found


@rule(
    "kms", "CreateKey PutKeyPolicy", "MalformedPolicyDocumentException", f"{_API}PutKeyPolicy.html"
)
def key_policy(given: Given) -> Any:
    """A key policy is a JSON document of statements with effect, principal, action and resource."""
    policy = given.get("Policy")
    return policy and state.policy_fault(policy, principal=True, resource=True)


@rule(
    "kms", "CreateKey PutKeyPolicy", "MalformedPolicyDocumentException", f"{_API}PutKeyPolicy.html"
)
def key_stays_manageable(given: Given) -> Any:
    """A key policy lets its caller, or the account, change the policy later."""
    policy = given.get("Policy")
    if not policy or given.get("BypassPolicyLockoutSafetyCheck"):
        return False
    needed = {"*", "kms:*", "kms:Put*", "kms:PutKeyPolicy"}
    return not any(
        one.get("Effect") == "Allow"
        and needed & {*state.as_list(one.get("Action"))}
        and state.principals(one, "AWS")
        for one in state.as_list(json.loads(policy)["Statement"])
    )


@rule(
    "kms", "CreateKey PutKeyPolicy", "MalformedPolicyDocumentException", f"{_API}PutKeyPolicy.html"
)
def key_policy_principals(given: Given) -> Any:
    """A key policy's principals exist."""
    policy = given.get("Policy")
    return policy and state.unknown_principal(policy)


@rule("kms", "CreateKey", _INVALID, f"{_API}CreateKey.html")
def key_usage(given: Given) -> Any:
    """A key's usage fits its specification: symmetric keys encrypt, HMAC keys authenticate."""
    spec, usage = (
        given.get("KeySpec", "SYMMETRIC_DEFAULT"),
        given.get("KeyUsage", "ENCRYPT_DECRYPT"),
    )
    symmetric = spec == "SYMMETRIC_DEFAULT" and usage != "ENCRYPT_DECRYPT"
    return symmetric or (spec.startswith("HMAC") != (usage == "GENERATE_VERIFY_MAC"))


@rule("kms", "ScheduleKeyDeletion EnableKey DisableKey EnableKeyRotation DisableKeyRotation"
      " UpdateKeyDescription CreateAlias Encrypt Decrypt GenerateDataKey",
      "KMSInvalidStateException", "kms/latest/developerguide/key-state.html")  # fmt: skip
def key_is_not_being_deleted(given: Given) -> Any:
    """A key that waits for its deletion cannot be used or changed."""
    key = _key(given) or _key(given, "TargetKeyId")
    return key.get("KeyState") == "PendingDeletion"


@rule("kms", "Encrypt Decrypt GenerateDataKey GenerateDataKeyWithoutPlaintext EnableKeyRotation",
      "DisabledException", "kms/latest/developerguide/key-state.html")  # fmt: skip
def key_is_enabled(given: Given) -> Any:
    """A disabled key cannot be used, nor its rotation enabled."""
    return _key(given).get("KeyState") == "Disabled"


@rule("kms", "CreateAlias", "InvalidAliasNameException", f"{_API}CreateAlias.html")
def alias_name(given: Given) -> Any:
    """An alias begins with alias/ and not with alias/aws/."""
    name = given["AliasName"]
    return not name.startswith("alias/") or name.startswith("alias/aws/")
