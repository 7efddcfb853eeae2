# tools/dist_train.sh configs/mask_rcnn_swin_s_coco.py 8
_base_ = './mask_rcnn_swin_t_coco.py'

recipe = dict(
    published='box AP 48.5, mask AP 43.3',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030; Mask R-CNN Swin-S 3x of its released models')
model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_small_patch4_window7_224.pth')))
