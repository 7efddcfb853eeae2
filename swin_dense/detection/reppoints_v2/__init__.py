"""RepPoints V2 and its variant with masks: neck, heads, targets, losses."""
