# tools/dist_train.sh configs/htcpp_swin_b_coco_no_stuff.py 8
# COCO val2017, published: no AP of this recipe; not measured here yet
# 8 GPUs x 2 images; hours not measured here
# HTC++ Swin-B 6x without semantic branch: needs no label maps (docs/htcpp.md)
_base_ = './htcpp_swin_b_coco.py'

model = dict(
    roi_head=dict(semantic_head=None, semantic_roi_extractor=None))
train_dataloader = dict(dataset=dict(data_prefix=dict(seg=None)))
