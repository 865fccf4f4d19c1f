"""Rules of S3."""

import json
import re
from ipaddress import ip_address
from typing import Any, Final

from zama_emulator.rules import Given, rule, state

_API: Final = "AmazonS3/latest/API/API_"
_GUIDE: Final = "AmazonS3/latest/userguide/"


@rule("s3", "CreateBucket", "InvalidBucketName", f"{_GUIDE}bucketnamingrules.html")
def bucket_name(given: Given) -> Any:
    """A bucket's name has 3-63 of a-z, 0-9, dot and hyphen, is no address and has no AWS prefix."""
    name = given["Bucket"]
    reserved = name.startswith(("xn--", "sthree-", "amzn-s3-demo-")) or name.endswith(
        ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
    )
    return (
        reserved
        or _is_address(name)
        or ".." in name
        or not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name)
    )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@rule("s3", "PutBucketPolicy", "MalformedPolicy", f"{_API}PutBucketPolicy.html")
def bucket_policy(given: Given) -> Any:
    """A bucket's policy has statements with effect, principal, action and resource."""
    return state.policy_fault(_policy(given), principal=True, resource=True)


def _policy(given: Given) -> str:
    text = given["Policy"]
    return text.decode() if isinstance(text, bytes) else str(text)


def _values(given: Given, name: str) -> list[str]:
    statements = state.as_list(json.loads(_policy(given))["Statement"])
    return [one for statement in statements for one in state.as_list(statement.get(name))]


@rule("s3", "PutBucketPolicy", "MalformedPolicy", f"{_API}PutBucketPolicy.html")
def bucket_policy_resource(given: Given) -> Any:
    """The resources of a bucket's policy are the bucket and its objects."""
    own = re.compile(rf"arn:aws[\w-]*:s3:::{re.escape(given['Bucket'])}(/.*)?")
    return any(not own.fullmatch(one) for one in _values(given, "Resource"))


@rule("s3", "PutBucketPolicy", "MalformedPolicy", f"{_API}PutBucketPolicy.html")
def bucket_policy_actions(given: Given) -> Any:
    """A bucket's policy allows actions of S3 only."""
    return any(not re.match(r"s3:|\*$", one, re.IGNORECASE) for one in _values(given, "Action"))


def _lifecycle(given: Given) -> list[dict[str, Any]]:
    return (given.get("LifecycleConfiguration") or {}).get("Rules") or []


@rule(
    "s3",
    "PutBucketLifecycleConfiguration",
    "MalformedXML",
    f"{_API}PutBucketLifecycleConfiguration.html",
)
def lifecycle_rules(given: Given) -> Any:
    """A lifecycle has 1-1000 rules with a filter or a prefix, and an action."""
    actions = {
        "Expiration", "Transitions", "NoncurrentVersionTransitions", "NoncurrentVersionExpiration",
        "AbortIncompleteMultipartUpload",
    }  # fmt: skip
    rules = _lifecycle(given)
    return not 1 <= len(rules) <= 1000 or any(
        not one.keys() & actions or not one.keys() & {"Filter", "Prefix"} for one in rules
    )


@rule(
    "s3",
    "PutBucketLifecycleConfiguration",
    "InvalidArgument",
    f"{_API}PutBucketLifecycleConfiguration.html",
)
def lifecycle_ids(given: Given) -> Any:
    """The rules of a lifecycle have different ids, of up to 255 characters."""
    ids = [one["ID"] for one in _lifecycle(given) if one.get("ID")]
    return len({*ids}) < len(ids) or any(len(one) > 255 for one in ids)


@rule(
    "s3",
    "PutBucketLifecycleConfiguration",
    "InvalidArgument",
    f"{_GUIDE}lifecycle-transition-general-considerations.html",
)
def lifecycle_days(given: Given) -> Any:
    """Days are positive, and an object expires after its last transition."""
    for one in _lifecycle(given):
        expiration = one.get("Expiration") or {}
        days = expiration.get("Days")
        moves = [move.get("Days") or 0 for move in one.get("Transitions") or []]
        later = (one.get("NoncurrentVersionExpiration") or {}).get("NoncurrentDays", 1)
        abort = (one.get("AbortIncompleteMultipartUpload") or {}).get("DaysAfterInitiation", 1)
        if (
            later < 1
            or abort < 1
            or (days is not None and (days < 1 or days <= max(moves, default=0)))
        ):
            return True
        if any(
            move.get("StorageClass") in {"STANDARD_IA", "ONEZONE_IA"}
            and (move.get("Days") or 0) < 30
            for move in one.get("Transitions") or []
        ):
            return True
    return False


@rule("s3", "PutBucketVersioning", "MalformedXML", f"{_API}PutBucketVersioning.html")
def versioning_status(given: Given) -> Any:
    """Versioning is Enabled or Suspended."""
    return not (given.get("VersioningConfiguration") or {}).get("Status")


@rule("s3", "PutBucketEncryption", "MalformedXML", f"{_API}PutBucketEncryption.html")
def encryption(given: Given) -> Any:
    """A bucket has one encryption rule with an algorithm, and a key only for aws:kms."""
    rules = (given.get("ServerSideEncryptionConfiguration") or {}).get("Rules") or []
    defaults = [one.get("ApplyServerSideEncryptionByDefault") or {} for one in rules]
    return len(rules) != 1 or any(
        one.get("KMSMasterKeyID") and not one.get("SSEAlgorithm", "").startswith("aws:kms")
        for one in defaults
    )


@rule("s3", "PutBucketPolicy", "MalformedPolicy", f"{_API}PutBucketPolicy.html")
def bucket_policy_principals(given: Given) -> Any:
    """The principals of a bucket's policy exist."""
    return state.unknown_principal(_policy(given))
