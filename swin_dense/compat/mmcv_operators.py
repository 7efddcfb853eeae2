"""The entry points of `mmcv._ext` that most models of the hosts need.

The names, the names of the arguments and the buffers that results are written
into are those of the wrappers of mmcv 2.1. Buffers that only the compiled code
needs are accepted and left alone.
"""

import functools
from typing import Any

import torch
from torch import Tensor

from swin_dense.compat.operators import focal_loss, roi_align
from swin_dense.compat.operators import nms as suppression
from swin_dense.compat.operators.deform_conv import (
    ConvGeometry,
    columns_gradient,
    deform_conv,
    hold_at_border,
    sample_columns,
    weight_gradient,
)
from swin_dense.compat.operators.deform_conv import chunks as image_chunks
from swin_dense.compat.operators.ms_deform_attn import (
    chunks as query_chunks,
)
from swin_dense.compat.operators.ms_deform_attn import ms_deform_attn
from swin_dense.compat.operators.sampling import (
    compute_dtype,
    vector_jacobian,
)

MAX_POOL = 0


@functools.cache
def torchvision_ops(device_type: str) -> Any | None:
    """Return `torchvision.ops` if it imports and runs on the device.

    A torchvision built for another PyTorch fails in many ways, some at
    import and some at the first call, hence the trial. On the meta device
    the result is None: FLOPs are counted there, and PyTorch's counter does
    not know torchvision's operators.
    """
    if device_type == 'meta':
        return None
    try:
        import torchvision.ops

        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=device_type)
        torchvision.ops.nms(boxes, boxes[:, 0], 0.5)
    except (ImportError, OSError, RuntimeError, AttributeError):
        return None
    return torchvision.ops


def get_compiler_version() -> str:
    """Return `n/a`: no compiler was used. mmcv puts it in reports."""
    return 'n/a'


def get_compiling_cuda_version() -> str:
    """Return `not available`, mmcv's text for no CUDA compiler."""
    return 'not available'


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int
) -> Tensor:
    """Return the indices of the kept boxes, best first."""
    vision = torchvision_ops(boxes.device.type)
    if vision is not None and offset == 0:
        # On a CPU, torchvision's NMS takes no half precision.
        dtype = compute_dtype(boxes)
        return vision.nms(boxes.to(dtype), scores.to(dtype), iou_threshold)
    return suppression.nms(boxes, scores, iou_threshold, offset)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Fill `dets` with the boxes and lowered scores; return the indices."""
    lowered, index = suppression.soft_nms(
        boxes, scores, iou_threshold, sigma, min_score, method, offset
    )
    dets[: len(lowered)] = lowered.to(dets)
    return index


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill `output`; for max pooling, the positions of the maxima too."""
    geometry = roi_align.RoIGeometry(
        (aligned_height, aligned_width), spatial_scale, sampling_ratio, aligned
    )
    if pool_mode == MAX_POOL:
        maxima = roi_align.max_forward(input, rois, geometry)
        for buffer, result in zip((output, argmax_y, argmax_x), maxima):
            buffer.copy_(result)
    else:
        output.copy_(_pool_mean(input, rois, geometry))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradient in the features to `grad_input`."""
    geometry = roi_align.RoIGeometry(
        (aligned_height, aligned_width), spatial_scale, sampling_ratio, aligned
    )
    shape = grad_input.shape
    if pool_mode == MAX_POOL:
        grad = roi_align.max_backward(
            grad_output, rois, argmax_y, argmax_x, shape
        )
    elif torchvision_ops(grad_output.device.type) is not None:
        pool = functools.partial(_pool_mean, rois=rois, geometry=geometry)
        # The mean is linear in the features: any values give the gradient.
        (grad,) = vector_jacobian(
            pool, [torch.zeros_like(grad_input)], grad_output
        )
    else:
        grad = roi_align.mean_backward(grad_output, rois, shape, geometry)
    grad_input += grad


def _pool_mean(
    features: Tensor, rois: Tensor, geometry: roi_align.RoIGeometry
) -> Tensor:
    vision = torchvision_ops(features.device.type)
    if vision is not None:
        # torchvision adds up in the type of the features. In half precision
        # that loses bits in the forward pass and more in the backward pass.
        dtype = compute_dtype(features)
        pooled = vision.roi_align(
            features.to(dtype), rois.to(dtype), *geometry
        )
        return pooled.to(features.dtype)
    return roi_align.mean_forward(features, rois, geometry)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Fill `output` with the deformable convolution, v1."""
    geometry = ConvGeometry(
        (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group
    )
    for part in image_chunks(input, offset, weight):
        output[part] = _convolve(
            input[part], offset[part], None, weight, geometry
        )


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Add the gradients of v1 in the input and in the offsets."""
    geometry = ConvGeometry(
        (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group
    )

    for part in image_chunks(input, offset, weight):
        grads = _input_gradients(
            [input[part], offset[part]], weight, gradOutput[part], geometry
        )
        gradInput[part] += grads[0]
        gradOffset[part] += grads[1]


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add `scale` times the gradient of v1 in the weight."""
    geometry = ConvGeometry(
        (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group
    )
    for part in image_chunks(input, offset, weight=gradWeight):
        grad = _weight_gradient(
            input[part], offset[part], gradWeight, gradOutput[part], geometry
        )
        gradWeight.add_(grad, alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Fill `output` with the deformable convolution, v2."""
    geometry = ConvGeometry(
        (stride_h, stride_w),
        (pad_h, pad_w),
        (dilation_h, dilation_w),
        group,
        deformable_group,
    )
    size = output.shape[2:]
    for part in image_chunks(input, offset, weight):
        output[part] = _convolve(
            input[part],
            _read_from_start(offset[part], size),
            _read_from_start(mask[part], size),
            weight,
            geometry,
        )
    if with_bias:
        output += bias[:, None, None]


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Add the gradients of v2 in every tensor."""
    geometry = ConvGeometry(
        (stride_h, stride_w),
        (pad_h, pad_w),
        (dilation_h, dilation_w),
        group,
        deformable_group,
    )
    size = grad_output.shape[2:]

    def convolve(
        input: Tensor, offset: Tensor, mask: Tensor, weight: Tensor
    ) -> Tensor:
        return _convolve(
            input,
            _read_from_start(offset, size),
            _read_from_start(mask, size),
            weight,
            geometry,
        )

    for part in image_chunks(input, offset, weight):
        grads = vector_jacobian(
            convolve,
            [input[part], offset[part], mask[part], weight],
            grad_output[part],
        )
        grad_input[part] += grads[0]
        grad_offset[part] += grads[1]
        grad_mask[part] += grads[2]
        grad_weight += grads[3]
    if with_bias:
        grad_bias += grad_output.sum((0, 2, 3))


def _read_from_start(values: Tensor, size: torch.Size) -> Tensor:
    """Return offsets or masks as the compiled v2 convolution reads them.

    The compiled operator reads the first numbers in memory of each image,
    whatever the shape. DyHead relies on that: it convolves one level with the
    offsets of a larger level, and its published weights were trained with the
    result.

    Args:
        values: Offsets or masks, (B, C, H, W).
        size: Height h and width w of the output.

    Returns:
        (B, C, h, w).

    Raises:
        ValueError: If an image has fewer than C * h * w numbers.
    """
    if values.shape[2:] == size:
        return values
    channels = values.shape[1]
    if values[0].numel() < channels * size.numel():
        raise ValueError(
            f'a deformable convolution with an output of {tuple(size)} '
            f'got offsets or masks of {tuple(values.shape[2:])}: make them as '
            'large'
        )
    values = values.flatten(1)[:, : channels * size.numel()]  # (B, C * h * w)
    return values.unflatten(1, (channels, *size))  # (B, C, h, w)


def _convolve(
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    geometry: ConvGeometry,
) -> Tensor:
    vision = torchvision_ops(input.device.type)
    # torchvision takes the numbers of groups from the shapes.
    if vision is not None:
        # torchvision computes positions in the type of the input, and half
        # precision is too coarse for the pixels of a large map.
        dtype = compute_dtype(input)
        offset = offset.to(dtype)
        if offset.requires_grad:
            offset = hold_at_border(offset, weight.shape[-2:], geometry)
        output = vision.deform_conv2d(
            input.to(dtype),
            offset,
            weight.to(dtype),
            stride=geometry.stride,
            padding=geometry.padding,
            dilation=geometry.dilation,
            mask=None if mask is None else mask.to(dtype),
        )
        return output.to(input.dtype)
    return deform_conv(input, offset, mask, weight, geometry)


def _input_gradients(
    inputs: list[Tensor],
    weight: Tensor,
    grad_output: Tensor,
    geometry: ConvGeometry,
) -> tuple[Tensor, ...]:
    """Return the gradients of the v1 convolution in input and offset."""
    if torchvision_ops(grad_output.device.type) is not None:
        return vector_jacobian(
            lambda input, offset: _convolve(
                input, offset, None, weight, geometry
            ),
            inputs,
            grad_output,
        )
    # The product with the weights, half of the work, need not be repeated.
    return vector_jacobian(
        lambda input, offset: sample_columns(
            input, offset, None, weight.shape[-2:], geometry
        ),
        inputs,
        columns_gradient(grad_output, weight, geometry),
    )


def _weight_gradient(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    grad_output: Tensor,
    geometry: ConvGeometry,
) -> Tensor:
    """Return the gradient of the v1 convolution in the weight."""
    if torchvision_ops(grad_output.device.type) is not None:
        (grad,) = vector_jacobian(
            lambda weight: _convolve(input, offset, None, weight, geometry),
            [weight],
            grad_output,
        )
        return grad
    columns = sample_columns(input, offset, None, weight.shape[-2:], geometry)
    grad = weight_gradient(grad_output, columns, geometry)
    return grad.view_as(weight).to(weight.dtype)


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Return the sampled values, (B, queries, heads * channels)."""
    batch, _, heads, channels = value.shape
    queries = sampling_locations.size(1)
    output = value.new_zeros(batch, queries, heads * channels)
    for part in query_chunks(value, sampling_locations):
        output[:, part] = ms_deform_attn(
            value,
            value_spatial_shapes,
            value_level_start_index,
            sampling_locations[:, part],
            attention_weights[:, part],
        )
    return output


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Add the gradients in the values, locations and weights."""

    def attend(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return ms_deform_attn(
            value,
            value_spatial_shapes,
            value_level_start_index,
            locations,
            weights,
        )

    for part in query_chunks(value, sampling_locations):
        grads = vector_jacobian(
            attend,
            [value, sampling_locations[:, part], attention_weights[:, part]],
            grad_output[:, part],
        )
        grad_value += grads[0]
        grad_sampling_loc[:, part] += grads[1]
        grad_attn_weight[:, part] += grads[2]


def sigmoid_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill `output` with the loss of every logit."""
    output.copy_(
        focal_loss.sigmoid_forward(input, target, weight, gamma, alpha)
    )


def sigmoid_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill `grad_input` with the derivative in every logit."""
    grad_input.copy_(
        focal_loss.sigmoid_backward(input, target, weight, gamma, alpha)
    )


def softmax_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill `output` with the loss of every sample; `input` is the softmax."""
    output.copy_(
        focal_loss.softmax_forward(input, target, weight, gamma, alpha)
    )


def softmax_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill `grad_input` with the derivative in every logit."""
    slope, grad = focal_loss.softmax_backward(
        input, target, weight, gamma, alpha
    )
    buff.copy_(slope)
    grad_input.copy_(grad)


SERVED = {
    function.__name__: function
    for function in (
        get_compiler_version,
        get_compiling_cuda_version,
        nms,
        softnms,
        roi_align_forward,
        roi_align_backward,
        deform_conv_forward,
        deform_conv_backward_input,
        deform_conv_backward_parameters,
        modulated_deform_conv_forward,
        modulated_deform_conv_backward,
        ms_deform_attn_forward,
        ms_deform_attn_backward,
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
        softmax_focal_loss_forward,
        softmax_focal_loss_backward,
    )
}
