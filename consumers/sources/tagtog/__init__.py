"""tagtog: versions of documents compared, found by search and by its webhooks."""
