# tools/dist_train.sh configs/htcpp_swin_b_coco_no_stuff.py 8
_base_ = './htcpp_swin_b_coco.py'

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030, appendix A2.2; HTC++ Swin-B 6x without '
    'semantic branch, so without label maps (docs/htcpp.md)')
model = dict(
    roi_head=dict(semantic_head=None, semantic_roi_extractor=None))
train_dataloader = dict(dataset=dict(data_prefix=dict(seg=None)))
