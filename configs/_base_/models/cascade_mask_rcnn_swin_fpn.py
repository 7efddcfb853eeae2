# Cascade Mask R-CNN on Swin-T with FPN.
_base_ = ['./mask_rcnn_swin_fpn.py', '../parts/cascade.py']

model = _base_.cascade
