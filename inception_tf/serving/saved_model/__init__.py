"""What only a SavedModel needs."""
