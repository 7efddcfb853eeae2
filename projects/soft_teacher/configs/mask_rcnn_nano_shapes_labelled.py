# python tools/train.py projects/soft_teacher/configs/mask_rcnn_nano_shapes_labelled.py
# The 50 labelled images alone, to compare with.
_base_ = '../../simmim/configs/mask_rcnn_swin_nano_shapes_50.py'

recipe = dict(measured=None)
train_dataloader = dict(
    dataset=dict(
        data_root='data/shapes_semi/', generate=dict(num_images=1050)))
