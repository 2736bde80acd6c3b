"""The commands: `main(argv)` of each; scripts and consoles only call these."""
