"""Speech recognition: stage list, default configurations and model output."""
