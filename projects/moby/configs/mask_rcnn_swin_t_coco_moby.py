# tools/dist_train.sh projects/moby/configs/mask_rcnn_swin_t_coco_moby.py 8
# Differs from mask_rcnn_swin_t_coco by the checkpoint alone.
_base_ = '../../../configs/mask_rcnn_swin_t_coco.py'

recipe = dict(
    published='box AP 46.0, mask AP 41.7',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2105.04553; Mask R-CNN Swin-T 3x of its '
    'released models')
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.3/moby_swin_t_300ep_pretrained.pth')))
