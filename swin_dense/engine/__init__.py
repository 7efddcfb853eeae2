"""Read configs, run models and predict: the parts that all tasks share."""
