"""Action recognition in videos with mmaction2."""
