"""The commands, one file per errand. What is heavy is imported when a command runs: ``--help`` answers at once."""
