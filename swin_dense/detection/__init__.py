"""Detection beyond the host: prediction with a config and a checkpoint."""
