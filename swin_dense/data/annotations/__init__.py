"""Annotations of other formats, converted to COCO's JSON."""
