"""What happens beside the training loop: checkpoints, averages, logs."""
