"""Check data, evaluation, weights and model before a training."""
