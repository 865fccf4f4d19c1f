"""`zama aws-local`, as far as it needs no AWS."""

from stack import ZAMA, zama
from zama_ops.programs import run


def test_help_explains_each_subcommand() -> None:
    """Every subcommand states its purpose and its requirements."""
    shown = " ".join(zama("aws-local", "--help").stdout.split())
    for phrase in ("without an account", "Docker and terraform", "Write plan.txt", "for eval"):
        assert phrase in shown


def test_the_environment_can_be_evaluated() -> None:
    """`eval` exports the variables to the shell."""
    script = f'eval "$({ZAMA} aws-local env)"; echo "$AWS_ENDPOINT_URL $AWS_REGION"'
    assert run("sh", "-c", script) == "http://127.0.0.1:4566 eu-west-1\n"


def test_a_missing_program_is_named_before_anything_starts() -> None:
    """Without terraform, one line names it, and nothing has started."""
    done = zama("aws-local", "up", PATH=str(ZAMA.parent))
    assert done.returncode == 1
    assert done.stderr == "zama: There is no terraform on the PATH: install terraform.\n"
