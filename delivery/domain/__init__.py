"""The rules, pure: no clock, no dice, no input or output. Time and luck are handed in as arguments."""
