"""Every query of every panel, asked as the browser asks, and held against the ledger."""
