"""PyTorch weights to ours and back."""
