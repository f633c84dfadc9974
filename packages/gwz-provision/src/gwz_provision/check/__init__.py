"""The offline checker: every query parsed, and held against the contract of what is really emitted."""
