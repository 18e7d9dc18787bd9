"""The HTTP API: one file per noun, with its request, its response and its handlers together."""
