"""Trouble that was to be expected."""


class Trouble(Exception):
    """Something that people can mend. Its message is one line, says what is wrong, and is all that they need to see."""
