"""Make HTC detectors small."""


def narrow(model, channels=16, classes=None, stuff=None):
    """Reduce the channels of an HTC detector with a narrow backbone.

    Args:
        model: The settings, changed in place.
        channels: Channels of the pyramid and inside all heads.
        classes: Number of thing classes; unchanged by default.
        stuff: Number of classes of the semantic branch; unchanged by default.
    """
    width = dict(in_channels=channels, conv_out_channels=channels)
    things = {} if classes is None else dict(num_classes=classes)
    model.neck.out_channels = channels
    model.rpn_head.update(in_channels=channels, feat_channels=channels)
    roi = model.roi_head
    for head in roi.bbox_head:
        head.update(in_channels=channels, fc_out_channels=24, **things)
        if 'conv_out_channels' in head:
            head.conv_out_channels = channels
    for head in roi.mask_head:
        head.update(**width, **things)
    for extractor in (roi.bbox_roi_extractor, roi.mask_roi_extractor):
        extractor.out_channels = channels
    if roi.get('semantic_head'):
        roi.semantic_roi_extractor.out_channels = channels
        roi.semantic_head.update(**width)
        if stuff is not None:
            roi.semantic_head.num_classes = stuff
    for stage in model.train_cfg.rcnn:
        stage.sampler.num = 32
    for settings in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
        settings.update(nms_pre=100, max_per_img=50)
    model.test_cfg.rcnn.max_per_img = 20
    return model
