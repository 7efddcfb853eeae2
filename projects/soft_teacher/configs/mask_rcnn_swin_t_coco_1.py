# tools/dist_train.sh projects/soft_teacher/configs/mask_rcnn_swin_t_coco_1.py 8
# 1 % of COCO have labels; split_coco.py writes the annotation files.
_base_ = './mask_rcnn_swin_t_coco_10.py'

recipe = dict(
    paper='arXiv 2106.09018, 1 % of COCO: thresholds, views, schedule; Swin, '
    'its optimizer and masks are our reading')
part = 'annotations/instances_train2017.1@1'
train_dataloader = dict(
    dataset=dict(
        labelled=dict(ann_file=f'{part}.json'),
        unlabelled=dict(ann_file=f'{part}-unlabelled.json')))
