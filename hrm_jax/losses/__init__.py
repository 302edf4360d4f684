"""Token losses and the adaptive-computation-time loss."""
