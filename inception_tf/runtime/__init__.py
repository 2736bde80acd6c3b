"""What every run stands on, knowing nothing of networks."""
