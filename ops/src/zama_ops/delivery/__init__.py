"""Commands from a commit to AWS."""
