"""The proof of the alerts: each is given its fault, its message arrives, the fault ends, and so does the alert."""
