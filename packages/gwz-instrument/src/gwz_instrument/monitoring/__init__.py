"""The JSON endpoints that operators, panels and scripts read: answered from Prometheus, or from what this process counted."""
