"""What gwz-instrument costs beside its peers, measured in interleaved rounds of one run."""
