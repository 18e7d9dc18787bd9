"""The front of the house: HTTP API, command line, clock, and the wiring of it all."""
