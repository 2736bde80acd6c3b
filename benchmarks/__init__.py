"""Speed and memory, against a peer in the same run; results are in results/."""
