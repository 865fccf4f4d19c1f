"""Writes terraform/bootstrap/actions.json: the IAM actions that each type of resource needs.

It plans, applies and destroys both profiles in emulated accounts, and reads the API calls of each
resource from the AWS provider's log. These runs never update a resource, so botocore's service
models supply the related calls that update, delete and tag. terraform/bootstrap/github.tf adds the
permissions that AWS requires beyond the calls themselves and the emulator does not.
"""

import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from zama_ops.aws import session
from zama_ops.console import notes, step
from zama_ops.container_images import build_images
from zama_ops.emulated_account import EXAMPLE_TAG, EmulatedAccount, temporary_account
from zama_ops.errors import CommandError
from zama_ops.paths import BOOTSTRAP
from zama_ops.programs import require
from zama_ops.terraform import Profile

ACTIONS: Final = BOOTSTRAP / "actions.json"

# The provider's log: a record begins with its time and can have many lines.
_RECORD: Final = re.compile(r"^(?=\d{4}-\d\d-\d\dT\S+ \[)", re.MULTILINE)
_FIELD: Final = re.compile(
    r'\b(tf_resource_type|tf_data_source_type|rpc\.service|rpc\.method)=(?:"([^"]+)"|(\S+))'
)

_VERB_AND_NOUN: Final = re.compile(r"([A-Z][a-z]+)([A-Z]\w*)")
# Verbs that create something, with the verbs that later update or delete the same noun.
_CHANGES: Final[Mapping[str, tuple[str, ...]]] = {
    "Associate": ("Disassociate",),
    "Attach": ("Detach",),
    "Authorize": ("Revoke",),
    "Create": ("Update", "Modify", "Put", "Replace", "Delete"),
    "Enable": ("Disable",),
    "Put": ("Delete",),
    "Register": ("Deregister",),
}
# `default_tags` tags every resource that supports tags; AWS requires these permissions for it. Some
# updates list the tags.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/access_tags.html
_TAGS: Final = (
    "(Tag|Untag)(Resource|{noun})"
    "|AddTags(To(Resource|{noun}))?|RemoveTags(From(Resource|{noun}))?"
    "|(Create|Delete)Tags|ListTagsForResource"
)

# Updates whose noun differs from the noun of the create call.
# https://github.com/hashicorp/terraform-provider-aws/tree/v5.100.0/internal/service
_OTHER_CHANGES: Final[Mapping[str, tuple[str, ...]]] = {
    "aws_cloudwatch_log_group": ("logs:AssociateKmsKey", "logs:DisassociateKmsKey"),
    "aws_iam_role": (
        *("iam:PutRolePermissionsBoundary", "iam:UpdateAssumeRolePolicy"),
        "iam:UpdateRoleDescription",
    ),
    "aws_kms_key": ("kms:PutKeyPolicy", "kms:UpdateKeyDescription"),
    "aws_lb": ("elasticloadbalancing:SetSecurityGroups", "elasticloadbalancing:SetSubnets"),
    "aws_prometheus_workspace": ("aps:UpdateWorkspaceAlias",),
    "aws_route_table_association": ("ec2:ReplaceRouteTableAssociation",),
    "aws_vpc_security_group_egress_rule": ("ec2:ModifySecurityGroupRules",),
    "aws_vpc_security_group_ingress_rule": ("ec2:ModifySecurityGroupRules",),
}

# Services whose actions have a different prefix than their signing name.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
_PREFIXES: Final = {"monitoring": "cloudwatch"}

# Calls whose action has a different name; None: the call needs no permission.
_NAMES: Final[Mapping[str, str | None]] = {
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketTagging": "s3:PutBucketTagging",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketAccelerateConfiguration": "s3:GetAccelerateConfiguration",
    "s3:GetBucketCors": "s3:GetBucketCORS",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetBucketReplication": "s3:GetReplicationConfiguration",
    "s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
    "sts:GetCallerIdentity": None,
}


@dataclass(frozen=True)
class Call:
    """An operation of a service, both named as in AWS's SDKs."""

    service: str
    operation: str


def main() -> None:
    """Observe the calls and write the file."""
    try:
        require("docker", "terraform")
        actions = _actions(_observed())
    except CommandError as error:
        notes.print(f"permissions: {error}", style="red")
        sys.exit(1)
    ACTIONS.write_text(json.dumps(actions, indent=2) + "\n")


def _observed() -> dict[str, set[Call]]:
    """Return the calls for each type in the plans of both profiles."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        with step("Building the images, applying terraform/bootstrap to two accounts"):
            build_images()
            profiles: dict[Profile, EmulatedAccount] = {
                profile: stack.enter_context(temporary_account()) for profile in get_args(Profile)
            }
            list(pool.map(EmulatedAccount.bootstrap, profiles.values()))
        log = stack.enter_context(_log_of_provider())
        with step("Planning, applying, planning again and destroying both profiles"):
            kinds = set().union(*pool.map(_live, profiles.values(), profiles))
        calls = list(_calls(log.read_text()))
    return {kind: {call for of, call in calls if of == kind} for kind in sorted(kinds)}


@contextlib.contextmanager
def _log_of_provider() -> Iterator[Path]:
    """Have the providers log every request to a file while the block runs."""
    with tempfile.TemporaryDirectory(prefix="zama-permissions-") as folder:
        path = Path(folder) / "provider.log"
        settings = {"TF_LOG_PROVIDER": "DEBUG", "TF_LOG_PATH": str(path)}
        os.environ |= settings
        try:
            yield path
        finally:
            for name in settings:
                del os.environ[name]


def _live(account: EmulatedAccount, profile: Profile) -> set[str]:
    """Take a deployment through its whole life; return the types in its plan."""
    account.plan(profile, image_tag=EXAMPLE_TAG)
    kinds = account.planned_types(profile)
    tag = account.push()
    account.apply(profile, image_tag=tag)
    account.plan(profile, image_tag=tag)
    account.destroy(profile, image_tag=tag)
    return kinds


def _calls(log: str) -> Iterator[tuple[str, Call]]:
    for record in _RECORD.split(log):
        said = {name: quoted or plain for name, quoted, plain in _FIELD.findall(record)}
        resource, source = said.get("tf_resource_type"), said.get("tf_data_source_type")
        kind = resource or (source and f"data.{source}")
        # The provider also makes calls at its start, for no resource.
        if kind and {"rpc.service", "rpc.method"} <= said.keys():
            yield kind, Call(said["rpc.service"], said["rpc.method"])


def _actions(observed: Mapping[str, Iterable[Call]]) -> dict[str, list[str]]:
    """Return the IAM actions for the calls, and for related updates, deletes and tagging."""
    aws = session()
    every = (aws.get_service_model(name) for name in aws.get_available_services())
    models = {str(model.service_id): model for model in every}

    def of(kind: str, calls: Iterable[Call]) -> Iterator[str | None]:
        for call in calls:
            model = models[call.service]
            prefix = _PREFIXES.get(model.signing_name, model.signing_name)
            for operation in {call.operation, *_related(model, call.operation)}:
                action = f"{prefix}:{operation}"
                yield _NAMES.get(action, action)
        yield from _OTHER_CHANGES.get(kind, ())

    return {kind: sorted(filter(None, set(of(kind, calls)))) for kind, calls in observed.items()}


def _related(model: Any, operation: str) -> Iterator[str]:
    """Yield a service's operations that update, delete or tag what `operation` creates."""
    match = _VERB_AND_NOUN.fullmatch(operation)
    if match is None:
        return
    verb, noun = match.groups()
    changes = {f"{change}{noun}" for change in _CHANGES.get(verb, ())}
    given = model.operation_model(operation).input_shape.members
    tagged = any(name.lower() in {"tags", "tagspecifications"} for name in given)
    tags = re.compile(_TAGS.format(noun=noun))
    for name in model.operation_names:
        tag = tagged and tags.fullmatch(name) and not model.operation_model(name).deprecated
        if name in changes or tag:
            yield name


if __name__ == "__main__":
    main()
