"""Learn from images without labels: what several methods share."""
