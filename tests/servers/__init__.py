"""Real servers for the tests: started here, on free ports of this machine, in a temporary folder, and stopped again."""
