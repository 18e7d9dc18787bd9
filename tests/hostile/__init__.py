"""Hostile input: tables of named cases (urls, addresses, names, headers, answers), and the tests that run them.

``sections.py`` is the whole list. Nothing beyond this machine is ever dialled.
"""
