"""Trained networks out: exported, in other formats, and asked about pictures."""
