"""Commands for what runs on this machine."""
