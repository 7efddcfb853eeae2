# python tools/train.py projects/soft_teacher/configs/mask_rcnn_nano_shapes_labelled.py
# The 50 labelled images alone, to compare with.
_base_ = '../../../configs/mask_rcnn_swin_nano_shapes.py'

recipe = dict(measured=None)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        data_root='data/shapes_semi/',
        indices=50,
        generate=dict(num_images=1050, image_size=256, seed=0)))
