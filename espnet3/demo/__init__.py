"""A web page around a trained model: packed, tried out, run and uploaded."""
