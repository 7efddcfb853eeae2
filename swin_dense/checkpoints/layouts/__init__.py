"""How each source names the parameters of Swin models."""
