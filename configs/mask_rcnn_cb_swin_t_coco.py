# tools/dist_train.sh configs/mask_rcnn_cb_swin_t_coco.py 8
_base_ = './mask_rcnn_swin_t_coco.py'

recipe = dict(
    published='box AP 50.2, mask AP 44.5',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2107.00420; Mask R-CNN CB-Swin-T 3x of its released models')
swin = dict(type='swin_dense.SwinTransformer', arch='tiny', drop_path_rate=0.2)
model = dict(
    type='swin_dense.CompositeRCNN',
    backbone=dict(
        _delete_=True,
        type='swin_dense.CompositeBackbone',
        backbones=[swin, swin],
        init_cfg=_base_.model.backbone.init_cfg))
