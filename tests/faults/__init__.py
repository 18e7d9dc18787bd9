"""Real faults on real parts, under load: what is published must be received, whatever happens meanwhile."""
