"""The memory: SQLAlchemy Core over SQLite or PostgreSQL, frozen dataclasses in and out.

Each module is one noun's statements: functions that take an open transaction first. Whoever calls decides what belongs
into one transaction; whatever a customer may see takes a ``Reach`` and cannot return another account's rows.
"""
