# tools/dist_train.sh configs/upernet_swinv2_b_ade20k_22k_640.py 16
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/parts/swinv2.py',
    './_base_/parts/channels.py',
    './_base_/datasets/ade20k_640.py',
    './_base_/schedules/schedule_40k_v2.py',
    './_base_/runtime/seg_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='16 GPUs x 4 images',
    paper='arXiv 2111.09883, appendix: UPerNet SwinV2-L, here with SwinV2-B')
train_dataloader = dict(batch_size=4)
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(
        _base_.swinv2,
        _delete_=True,
        arch='base',
        drop_path_rate=0.3,
        window_size=40,
        pretrained_window_sizes=[12, 12, 12, 6],
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_base_patch4_window12_192_22k.pth')),
    decode_head=dict(in_channels=_base_.channels.base),
    auxiliary_head=dict(in_channels=_base_.channels.base[2]))
