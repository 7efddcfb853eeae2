# python tools/train.py configs/htcpp_swin_b_coco_1gpu.py
_base_ = './htcpp_swin_b_coco.py'

recipe = dict(
    published=None,
    measured=None,
    hardware='1 GPU of 24 GB x 1 image, accumulated to 16',
    paper='arXiv 2103.14030, appendix A2.2; HTC++ Swin-B 6x on one card '
    '(docs/htcpp.md)')
# Activation checkpointing.
model = dict(
    backbone=dict(with_cp=True),
    neck=dict(global_attention=dict(with_cp=True)))
train_dataloader = dict(batch_size=1)
# One update per 16 images, as on 8 GPUs.
optim_wrapper = dict(accumulative_counts=16)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=8000), _base_.param_scheduler[1]
]
