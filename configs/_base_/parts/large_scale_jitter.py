# Steps of large-scale jittering, to be inserted between flip and packing. The
# number is the side of the resulting square in pixels.
jitter_1024, jitter_1536 = [[
    dict(
        type='RandomResize',
        scale=(side, side),
        ratio_range=(0.1, 2.0),
        keep_ratio=True),
    dict(
        type='RandomCrop',
        crop_type='absolute',
        crop_size=(side, side),
        recompute_bbox=True,
        allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='Pad', size=(side, side))
] for side in (1024, 1536)]
