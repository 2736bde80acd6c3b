"""Records in, batches out: sources, their order, distortion and crops."""
