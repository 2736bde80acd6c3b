"""What a run leaves, and reading it again."""
