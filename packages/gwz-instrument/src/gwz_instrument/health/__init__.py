"""How providers and models are doing: pure functions of what was counted in a window of time.

docs/reference/provider-health.md has the definitions in words.
"""
