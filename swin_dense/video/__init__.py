"""Action recognition: all of the task, on mmaction2."""
