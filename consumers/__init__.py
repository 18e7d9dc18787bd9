"""What comes in: the two buses and the consumers behind them, and the connectors to annotation tools.

Knows ``delivery``; knows nothing of the web.
"""
