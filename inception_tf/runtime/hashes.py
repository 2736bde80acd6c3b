"""What tells one file's content from another's."""

import hashlib


def sha256_of(path):
    """Hex digest of a file's bytes; OSError when it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
