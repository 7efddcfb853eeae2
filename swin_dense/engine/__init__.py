"""From a config to a run: what all tasks share."""
