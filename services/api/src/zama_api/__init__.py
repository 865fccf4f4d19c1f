"""A small HTTP API, operated to production standards."""

__version__ = "0.1.0"
