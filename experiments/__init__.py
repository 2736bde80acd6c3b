"""The paper's claims, tested at a scale one machine can run; docs/claims.md has the verdicts."""
