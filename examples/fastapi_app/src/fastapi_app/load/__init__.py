"""The load generator: plans requests from a seed, makes them, and keeps a ledger of what it caused."""
