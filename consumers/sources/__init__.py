"""Connectors to annotation tools: each learns what happens there, and says it as events."""
