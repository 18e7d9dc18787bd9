"""Small building blocks that several tests share."""
