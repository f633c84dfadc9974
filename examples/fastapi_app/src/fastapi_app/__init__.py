"""A small inference gateway in front of 17 simulated providers, its providers and its load generator."""
