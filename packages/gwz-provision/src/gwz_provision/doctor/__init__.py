"""Asks Grafana every query of every panel, and names for each one without data the first broken hop."""
