"""Speed and memory, measured beside a peer in the same run; results/ holds what was seen."""
