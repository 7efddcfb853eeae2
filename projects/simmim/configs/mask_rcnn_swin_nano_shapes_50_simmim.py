# python tools/train.py projects/simmim/configs/mask_rcnn_swin_nano_shapes_50_simmim.py
# Differs from mask_rcnn_swin_nano_shapes_50 by the checkpoint alone.
_base_ = './mask_rcnn_swin_nano_shapes_50.py'

recipe = dict(
    published=None,
    measured='box AP 0.103, mask AP 0.123 on generated shapes, '
    'the mean of three seeds',
    hardware='2 CPU cores, minutes',
    paper=None)
model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='work_dirs/simmim_swin_nano_shapes/iter_900.pth')))
