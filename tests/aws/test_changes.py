"""A change of the keys' parameter never writes anything but keys."""

import shutil
import sys
from pathlib import Path
from typing import Final

from deployment import Deployment
from readme import block
from stack import KEY
from zama_ops.paths import TERRAFORM
from zama_ops.programs import complete
from zama_ops.terraform import Terraform

NAME: Final = "/zama/changes/api_key"
# The parameter and the key that encrypts it, without the service.
FILES: Final = ("kms.tf", "providers.tf", "ssm.tf", "variables.tf", "versions.tf")


def test_no_change_overwrites_the_keys(minimal: Deployment, tmp_path: Path) -> None:
    """Neither another KMS key, nor another name of the service, nor a version without a value."""
    for name in (*FILES, ".terraform.lock.hcl"):
        shutil.copy(TERRAFORM / name, tmp_path)
    account = minimal.account
    configuration = Terraform(tmp_path, account.environ())
    ssm, kms = account.client("ssm"), account.client("kms")

    def apply(prefix: str, *words: str, key: str = "") -> str:
        names = [f"-var=api_key_ssm_name={NAME}", f"-var=name_prefix={prefix}"]
        given = [f"-var=api_key_value={key}"] if key else []
        done = configuration.complete(
            "apply", "-auto-approve", "-no-color", "-var=image_tag=1a2b3c4", *names, *words, *given
        )
        return done.stdout + done.stderr

    def parameter() -> tuple[str, str]:
        """Return the value and the id of its key."""
        only = [{"Key": "Name", "Option": "Equals", "Values": [NAME]}]
        (described,) = ssm.describe_parameters(ParameterFilters=only)["Parameters"]
        read = ssm.get_parameter(Name=NAME, WithDecryption=True)["Parameter"]
        return read["Value"], described["KeyId"]

    configuration.run("init")
    assert "A parameter has a value of at least one character" in apply("changes")
    assert "Apply complete!" in apply("changes", key=KEY)
    before = parameter()
    assert before[0] == f"default={KEY}"

    own_key = "-var=customer_managed_key_enabled=true"
    assert "Apply complete!" in apply("others", own_key)
    refused = apply("others", own_key, "-var=api_key_version=2")
    assert "A parameter has a value of at least one character" in refused
    assert parameter() == before

    # The documented step to the new key, after which Terraform finds nothing to change.
    command = block("umask 077").replace("/zama/api/api_key", NAME)
    command = command.replace("alias/zama-challenge", "alias/others")
    path = f"{Path(sys.executable).parent}:{account.environ().get('PATH', '/usr/bin:/bin')}"
    done = complete("sh", "-ec", command, cwd=tmp_path, **account.environ(), PATH=path)
    assert done.returncode == 0, done.stderr
    alias = kms.describe_key(KeyId="alias/others")["KeyMetadata"]
    value, key_id = parameter()
    assert (value, key_id in {"alias/others", alias["Arn"], alias["KeyId"]}) == (before[0], True)
    # The provider has recorded the version of the refused change.
    again = apply("others", own_key, "-var=api_key_version=2")
    assert "0 added, 0 changed, 0 destroyed" in again
