"""Potato: annotators' states compared, adjudicators' decisions read; its own webhooks are hints."""
