"""A tiny HTTP API, operated as if the world depended on it."""

__version__ = "0.1.0"
