"""Commands that take a commit to AWS."""
