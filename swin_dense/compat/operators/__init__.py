"""Arithmetic of mmcv's compiled operators, in plain PyTorch.

`mmcv_operators` and `mmcv_model_operators` call these functions with mmcv's
arguments. The functions themselves do not depend on mmcv. They take and return
tensors of any floating type on any device, and compute half precision in
float32.
"""
