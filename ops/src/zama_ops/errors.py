"""What ends a command with a message and exit code 1."""


class CommandError(Exception):
    """What went wrong, and what to do about it."""
