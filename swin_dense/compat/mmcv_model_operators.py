"""The entry points of `mmcv._ext` that single models of the hosts need.

| model | operators |
| --- | --- |
| PISA | `nms_match` |
| CARAFE | `carafe` |
| Guided Anchoring | `masked_im2col`, `masked_col2im` |
| PSANet | `psamask` |
| RoI heads with RoIPool | `roi_pool` |
| RoI heads with deformable pooling | `deform_roi_pool` |
| TIN | `tin_shift` |
| models with `MMSyncBN` | `sync_bn` |

Names and arguments are those of mmcv 2.1, as in `mmcv_operators`.
"""

import functools

from torch import Tensor

from swin_dense.compat.operators import deform_roi_pool, masked_conv, roi_pool
from swin_dense.compat.operators import nms as suppression
from swin_dense.compat.operators.carafe import carafe
from swin_dense.compat.operators.psa_mask import psa_mask
from swin_dense.compat.operators.roi_align import RoIGeometry
from swin_dense.compat.operators.sampling import vector_jacobian
from swin_dense.compat.operators.tin_shift import tin_shift


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Return groups of indices, the kept box first in each group."""
    return suppression.nms_match(dets[:, :4], dets[:, 4], iou_threshold)


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fill `output`, and copy the features for the backward pass."""
    rfeatures.copy_(features)
    carafe_naive_forward(
        features, masks, output, kernel_size, group_size, scale_factor
    )


def carafe_backward(
    top_grad: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rtop_grad: Tensor,
    rbottom_grad_hs: Tensor,
    rbottom_grad: Tensor,
    rmask_grad: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Add the gradients in the features and masks."""
    carafe_naive_backward(
        top_grad,
        rfeatures,
        masks,
        bottom_grad,
        mask_grad,
        kernel_size,
        group_size,
        scale_factor,
    )


def carafe_naive_forward(
    features: Tensor,
    masks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fill `output` image by image, which bounds the memory."""
    for image in range(len(features)):
        part = slice(image, image + 1)
        output[part] = carafe(
            features[part], masks[part], kernel_size, group_size, scale_factor
        )


def carafe_naive_backward(
    top_grad: Tensor,
    features: Tensor,
    masks: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Add the gradients in the features and masks."""
    reassemble = functools.partial(
        carafe, kernel_size=kernel_size, groups=group_size, scale=scale_factor
    )
    for image in range(len(features)):
        part = slice(image, image + 1)
        grads = vector_jacobian(
            reassemble, [features[part], masks[part]], top_grad[part]
        )
        bottom_grad[part] += grads[0]
        mask_grad[part] += grads[1]


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Fill `col` with the kernel's input at each pixel of the mask."""
    col.copy_(
        masked_conv.im2col(
            im, mask_h_idx, mask_w_idx, (kernel_h, kernel_w), (pad_h, pad_w)
        )
    )


def masked_col2im_forward(
    col: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    im: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Write the columns into `im` at the pixels of the mask."""
    masked_conv.col2im(col, mask_h_idx, mask_w_idx, im)


def psamask_forward(
    input: Tensor,
    output: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Fill `output` with the attention of each pixel to the whole map."""
    output.copy_(psa_mask(input, psa_type, (h_mask, w_mask)))


def psamask_backward(
    grad_output: Tensor,
    grad_input: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Fill `grad_input` with the gradient of `psamask_forward`."""
    spread = functools.partial(psa_mask, kind=psa_type, size=(h_mask, w_mask))
    # The operator is linear: any values give the gradient.
    (grad,) = vector_jacobian(spread, [grad_input], grad_output)
    grad_input.copy_(grad)


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill `output` with the maxima and `argmax` with their pixels."""
    maxima = roi_pool.forward(
        input, rois, (pooled_height, pooled_width), spatial_scale
    )
    for buffer, result in zip((output, argmax), maxima):
        buffer.copy_(result)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add the gradient in the features to `grad_input`."""
    grad_input += roi_pool.backward(
        grad_output, rois, argmax, grad_input.shape
    )


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Fill `output` with the means of the bins; no `offset` moves none."""
    geometry = RoIGeometry(
        (pooled_height, pooled_width), spatial_scale, sampling_ratio, True
    )
    output.copy_(deform_roi_pool.forward(input, rois, offset, geometry, gamma))


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Add the gradients in the features and offsets."""
    geometry = RoIGeometry(
        (pooled_height, pooled_width), spatial_scale, sampling_ratio, True
    )
    grads = deform_roi_pool.backward(
        grad_output, input, rois, offset, geometry, gamma
    )
    grad_input += grads[0]
    grad_offset += grads[1]


def tin_shift_forward(input: Tensor, shift: Tensor, output: Tensor) -> None:
    """Fill `output` with the frames, each group of channels shifted."""
    output.copy_(tin_shift(input, shift))


def tin_shift_backward(
    grad_output: Tensor, shift: Tensor, grad_input: Tensor
) -> None:
    """Fill `grad_input` as the compiled operator does.

    The compiled operator moves gradients as the forward pass moves values,
    not back. Published weights of TIN were trained with these gradients, and
    mmcv's tests expect them.
    """
    grad_input.copy_(tin_shift(grad_output, shift))


def sync_bn_forward_mean(input: Tensor, mean: Tensor) -> None:
    """Fill `mean`, (C,), with the mean of `input`, (B, C, P)."""
    mean.copy_(input.float().mean((0, 2)))


def sync_bn_forward_var(input: Tensor, mean: Tensor, var: Tensor) -> None:
    """Fill `var`, (C,), with the variance around `mean`."""
    distance = input.float() - mean[:, None]
    var.copy_(distance.square().mean((0, 2)))


def sync_bn_forward_output(
    input: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    norm: Tensor,
    std: Tensor,
    output: Tensor,
    eps: float,
    momentum: float | Tensor,
    group_size: int,
) -> None:
    """Fill `norm`, `std` and `output`; update the running statistics."""
    std.copy_((var + eps).sqrt())
    norm.copy_((input.float() - mean[:, None]) / std[:, None])
    result = norm
    if weight is not None and bias is not None:
        result = norm * weight[:, None] + bias[:, None]
    output.copy_(result)
    if running_mean is not None and running_var is not None:
        count = input[:, 0].numel() * group_size
        running_mean += momentum * (mean - running_mean)
        unbiased = var * (count / max(1, count - 1))
        running_var += momentum * (unbiased - running_var)


def sync_bn_backward_param(
    grad_output: Tensor, norm: Tensor, grad_weight: Tensor, grad_bias: Tensor
) -> None:
    """Fill `grad_weight` and `grad_bias`, (C,) each."""
    grad = grad_output.float()
    grad_weight.copy_((grad * norm).sum((0, 2)))
    grad_bias.copy_(grad.sum((0, 2)))


def sync_bn_backward_data(
    grad_output: Tensor,
    weight: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    norm: Tensor,
    std: Tensor,
    grad_input: Tensor,
) -> None:
    """Fill `grad_input`, (B, C, P), from the output's gradient."""
    count = grad_output[:, 0].numel()
    removed = (grad_weight[:, None] * norm + grad_bias[:, None]) / count
    scale = (weight / std)[:, None]
    grad_input.copy_(scale * (grad_output.float() - removed))


SERVED = {
    function.__name__: function
    for function in (
        nms_match,
        carafe_forward,
        carafe_backward,
        carafe_naive_forward,
        carafe_naive_backward,
        masked_im2col_forward,
        masked_col2im_forward,
        psamask_forward,
        psamask_backward,
        roi_pool_forward,
        roi_pool_backward,
        deform_roi_pool_forward,
        deform_roi_pool_backward,
        tin_shift_forward,
        tin_shift_backward,
        sync_bn_forward_mean,
        sync_bn_forward_var,
        sync_bn_forward_output,
        sync_bn_backward_param,
        sync_bn_backward_data,
    )
}
