"""What the stack keeps and what it takes: retention and limits, proved on real servers with the shipped configuration."""
