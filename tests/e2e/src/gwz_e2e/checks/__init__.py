"""The checks, one module per signal: each asks a real server and holds the answer against the ledger."""
