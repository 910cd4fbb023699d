"""The PyTorch original beside ours: for comparison only."""
