# tools/dist_train.sh configs/cascade_swin_s_coco.py 8
_base_ = './cascade_swin_t_coco.py'

recipe = dict(
    published='box AP 51.9, mask AP 45.0',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030; Cascade Mask R-CNN Swin-S 3x of its released '
    'models')
model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_small_patch4_window7_224.pth')))
