"""Speech recognition: system, models, decoding, recogniser, tokenizers and metrics."""
