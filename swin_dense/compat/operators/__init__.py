"""The mathematics behind `swin_dense.compat.mmcv_ext`, in plain PyTorch.

Every function takes and returns tensors of any floating type on any device;
none knows of mmcv. Half precision is computed in float32.
"""
