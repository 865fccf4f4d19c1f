"""The zama command: run and operate the service."""

__version__ = "0.1.0"
