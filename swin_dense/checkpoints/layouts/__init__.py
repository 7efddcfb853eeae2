"""The parameter names that each source of checkpoints uses."""
