"""Detection and instance segmentation with mmdet."""
