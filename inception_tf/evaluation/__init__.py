"""Scoring: error rates over a split, every image exactly once."""
