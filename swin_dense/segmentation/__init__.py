"""Semantic segmentation: all of the task, on mmsegmentation."""
