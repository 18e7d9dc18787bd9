"""The carriers: one module for each kind of destination, and the one guarded HTTP client that all of them use."""
