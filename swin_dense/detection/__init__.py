"""Detection and instance segmentation: all of the task, on mmdet."""
