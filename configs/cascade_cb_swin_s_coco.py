# tools/dist_train.sh configs/cascade_cb_swin_s_coco.py 8
_base_ = [
    './_base_/models/cascade_mask_rcnn_swin_fpn.py',
    './_base_/datasets/coco_instance_400_1400.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

recipe = dict(
    published='box AP 56.3, mask AP 48.6',
    measured=None,
    hardware='8 GPUs x 1 image',
    paper='arXiv 2107.00420; Cascade Mask R-CNN CB-Swin-S 3x of its '
    'released models')
swin = dict(
    type='swin_dense.SwinTransformer', arch='small', drop_path_rate=0.2)
model = dict(
    type='swin_dense.CompositeRCNN',
    backbone=dict(
        _delete_=True,
        type='swin_dense.CompositeBackbone',
        backbones=[swin, swin],
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_small_patch4_window7_224.pth')),
    test_cfg=dict(
        rcnn=dict(
            score_thr=0.001, nms=dict(type='soft_nms', iou_threshold=0.5))))
optim_wrapper = dict(optimizer=dict(lr=5e-5))
auto_scale_lr = dict(base_batch_size=8)
