"""Dashboards and data sources as Python; `nox -s generate` writes what ships."""
