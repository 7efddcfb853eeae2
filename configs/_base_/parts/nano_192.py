# Less work in a step than with the settings in nano.py, for images of 192 pixels.
few_proposals = dict(nms_pre=200, max_per_img=100)
nano_192 = dict(
    neck=dict(out_channels=48),
    rpn_head=dict(
        in_channels=48, feat_channels=48, anchor_generator=dict(scales=[6])),
    roi_head=dict(
        bbox_roi_extractor=dict(
            roi_layer=dict(sampling_ratio=2), out_channels=48),
        mask_roi_extractor=dict(out_channels=48),
        mask_head=dict(in_channels=48)),
    train_cfg=dict(rpn_proposal=few_proposals),
    test_cfg=dict(rpn=few_proposals))
