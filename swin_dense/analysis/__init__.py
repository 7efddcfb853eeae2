"""Measurements of models and weights: speed, memory, FLOPs, biases."""
