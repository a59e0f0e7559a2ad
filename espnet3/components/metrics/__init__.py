"""What every metric is, whatever it measures."""
