"""The README's commands for AWS, as they stand there, against the emulated one."""

import subprocess
from concurrent.futures import Future


def test_the_commands_for_aws_in_order(
    readme_commands: Future[subprocess.CompletedProcess[str]],
) -> None:
    """From bootstrap to the first answer, pasted as they are."""
    done = readme_commands.result()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.endswith('{"status":"ready"}')
