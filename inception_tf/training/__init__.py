"""The paper's training: optimizer, schedule, losses, averaged weights, step and loop."""
