"""The README's commands for AWS run unchanged against the emulated AWS."""

from pathlib import Path

from engine import Images
from readme import run_commands_for_aws


def test_the_commands_for_aws_work_in_order(images: Images, tmp_path: Path) -> None:
    """Pasted unchanged, they lead from bootstrap to the first response."""
    done = run_commands_for_aws(images, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.endswith('{"status":"ready"}')
