"""Benchmarks: they print what they measured, beside a baseline of the same run. Nothing here is a test."""
