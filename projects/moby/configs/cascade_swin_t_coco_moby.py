# tools/dist_train.sh projects/moby/configs/cascade_swin_t_coco_moby.py 8
# Differs from cascade_swin_t_coco by the checkpoint alone.
_base_ = '../../../configs/cascade_swin_t_coco.py'

recipe = dict(
    published='box AP 50.2, mask AP 43.5',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2105.04553; Cascade Mask R-CNN Swin-T 3x of its '
    'released models')
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.3/moby_swin_t_300ep_pretrained.pth')))
