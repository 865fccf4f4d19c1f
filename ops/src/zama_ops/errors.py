"""The error that ends a command with a message and exit code 1."""


class CommandError(Exception):
    """A failure; the message says what happened and what to do.

    Most functions can raise it, so their docstrings do not mention it.
    """
