"""What semantic segmentation needs beyond its host."""
