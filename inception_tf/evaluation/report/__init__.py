"""The report of a scoring: one page, its figures, the worst mistakes."""
