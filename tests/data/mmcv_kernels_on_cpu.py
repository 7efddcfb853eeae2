"""Compiles kernels of mmcv for one thread of a CPU, to record references.

mmcv 2.1 has these operators for CUDA only, or compiles them for a CPU with
all its others. Here CUDA's words are given a meaning in plain C++ and its
own kernels, which loop over what they are asked for, run in one thread. Needs
a compiler and the unpacked source distribution of mmcv 2.1.0.
"""

import sys
import tempfile
from pathlib import Path
from types import ModuleType

CUDA_WORDS = """
#pragma once
#include <torch/extension.h>
#include <cfloat>
#define __global__
#define __device__
struct Place { int x; };
static const Place blockIdx{0}, threadIdx{0}, blockDim{1}, gridDim{1};
using std::max;
using std::min;
using at::Tensor;
template <typename T> void atomicAdd(T* sum, T value) { *sum += value; }
#include "common_cuda_helper.hpp"
"""

# `_impl` functions are what mmcv's dispatch of devices would call.
OPERATORS = r"""
#include "pytorch_cuda_helper.hpp"
#include "carafe_naive_cuda_kernel.cuh"
#include "deform_roi_pool_cuda_kernel.cuh"
#include "masked_conv2d_cuda_kernel.cuh"
#include "roi_pool_cuda_kernel.cuh"
#include "tin_shift_cuda_kernel.cuh"
#include "cpu/nms.cpp"
#include "cpu/psamask.cpp"
#undef min
#undef max

#define RUN(tensor, ...)                                              \
  AT_DISPATCH_FLOATING_TYPES(tensor.scalar_type(), "kernel", [&] {    \
    using T = scalar_t;                                               \
    __VA_ARGS__;                                                      \
  })
#define P(tensor) tensor.data_ptr<T>()

void carafe(Tensor features, Tensor masks, Tensor rfeatures, Tensor routput,
            Tensor rmasks, Tensor output, int kernel, int groups, int scale) {
  rfeatures.copy_(features);
  RUN(features, carafe_naive_forward_cuda_kernel<T>(
      output.numel(), P(features), P(masks), P(output), kernel, groups, scale,
      output.size(1), output.size(2), output.size(3)));
}

void carafe_grad(Tensor top, Tensor features, Tensor masks, Tensor, Tensor,
                 Tensor, Tensor, Tensor bottom, Tensor mask_grad, int kernel,
                 int groups, int scale) {
  top = top.contiguous();
  RUN(top, carafe_naive_backward_cuda_kernel<T>(
      top.numel(), P(top), P(features), P(masks), P(bottom), P(mask_grad),
      kernel, groups, scale, top.size(1), top.size(2), top.size(3)));
}

void deform_pool(Tensor input, Tensor rois, Tensor offset, Tensor output,
                 int height, int width, float scale, int ratio, float gamma) {
  RUN(input, deform_roi_pool_forward_cuda_kernel<T>(
      output.numel(), P(input), P(rois), offset.numel() ? P(offset) : nullptr,
      P(output), height, width, scale, ratio, gamma, input.size(1),
      input.size(2), input.size(3)));
}

void deform_pool_grad(Tensor grad, Tensor input, Tensor rois, Tensor offset,
                      Tensor grad_input, Tensor grad_offset, int height,
                      int width, float scale, int ratio, float gamma) {
  grad = grad.contiguous();
  RUN(input, deform_roi_pool_backward_cuda_kernel<T>(
      grad.numel(), P(grad), P(input), P(rois),
      offset.numel() ? P(offset) : nullptr, P(grad_input), P(grad_offset),
      height, width, scale, ratio, gamma, input.size(1), input.size(2),
      input.size(3)));
}

void masked_columns(Tensor im, Tensor y, Tensor x, Tensor col, int kernel_h,
                    int kernel_w, int pad_h, int pad_w) {
  RUN(im, MaskedIm2colForward<T>(
      im.size(1) * y.numel(), P(im), im.size(2), im.size(3), kernel_h,
      kernel_w, pad_h, pad_w, y.data_ptr<int64_t>(), x.data_ptr<int64_t>(),
      y.numel(), P(col)));
}

void masked_image(Tensor col, Tensor y, Tensor x, Tensor im, int height,
                  int width, int channels) {
  RUN(im, MaskedCol2imForward<T>(
      channels * y.numel(), P(col), height, width, channels,
      y.data_ptr<int64_t>(), x.data_ptr<int64_t>(), y.numel(), P(im)));
}

void pool(Tensor input, Tensor rois, Tensor output, Tensor argmax, int height,
          int width, float scale) {
  RUN(input, roi_pool_forward_cuda_kernel<T>(
      output.numel(), P(input), P(rois), P(output), argmax.data_ptr<int>(),
      height, width, scale, input.size(1), input.size(2), input.size(3)));
}

void pool_grad(Tensor grad, Tensor rois, Tensor argmax, Tensor grad_input,
               int height, int width, float scale) {
  grad = grad.contiguous();
  RUN(grad, roi_pool_backward_cuda_kernel<T>(
      grad.numel(), P(grad), P(rois), argmax.data_ptr<int>(), P(grad_input),
      height, width, grad_input.size(1), grad_input.size(2),
      grad_input.size(3)));
}

void spread(Tensor input, Tensor output, int kind, int num, int h, int w,
            int h_mask, int w_mask, int half_h, int half_w) {
  psamask_forward_cpu(kind, input, output, num, h, w, h_mask, w_mask, half_h,
                      half_w);
}

void spread_grad(Tensor grad, Tensor grad_input, int kind, int num, int h,
                 int w, int h_mask, int w_mask, int half_h, int half_w) {
  psamask_backward_cpu(kind, grad.contiguous(), grad_input, num, h, w,
                       h_mask, w_mask, half_h, half_w);
}

void shift(Tensor input, Tensor shift, Tensor output) {
  RUN(input, tin_shift_forward_cuda_kernel<T>(
      output.numel(), P(input), shift.data_ptr<int>(), P(output),
      input.size(0), input.size(2), input.size(1), input.size(3),
      shift.size(1), input.size(2) / shift.size(1)));
}

void shift_grad(Tensor grad, Tensor shift, Tensor output) {
  grad = grad.contiguous();
  RUN(grad, tin_shift_backward_cuda_kernel<T>(
      output.numel(), P(grad), shift.data_ptr<int>(), P(output),
      grad.size(0), grad.size(2), grad.size(1), grad.size(3),
      shift.size(1), grad.size(2) / shift.size(1)));
}

using pybind11::arg;
#define POOL arg("pooled_height"), arg("pooled_width"), arg("spatial_scale")
#define CARAFE arg("kernel_size"), arg("group_size"), arg("scale_factor")
#define SPREAD                                                              \
  arg("psa_type"), arg("num_"), arg("h_feature"), arg("w_feature"),         \
      arg("h_mask"), arg("w_mask"), arg("half_h_mask"), arg("half_w_mask")

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("nms_match", &nms_match_cpu, arg("dets"), arg("iou_threshold"));
  m.def("carafe_forward", &carafe, arg("a"), arg("b"), arg("c"), arg("d"),
        arg("e"), arg("f"), CARAFE);
  m.def("carafe_backward", &carafe_grad, arg("a"), arg("b"), arg("c"),
        arg("d"), arg("e"), arg("f"), arg("g"), arg("h"), arg("i"), CARAFE);
  m.def("deform_roi_pool_forward", &deform_pool, arg("a"), arg("b"), arg("c"),
        arg("d"), POOL, arg("sampling_ratio"), arg("gamma"));
  m.def("deform_roi_pool_backward", &deform_pool_grad, arg("a"), arg("b"),
        arg("c"), arg("d"), arg("e"), arg("f"), POOL, arg("sampling_ratio"),
        arg("gamma"));
  m.def("masked_im2col_forward", &masked_columns, arg("a"), arg("b"), arg("c"),
        arg("d"), arg("kernel_h"), arg("kernel_w"), arg("pad_h"),
        arg("pad_w"));
  m.def("masked_col2im_forward", &masked_image, arg("a"), arg("b"), arg("c"),
        arg("d"), arg("height"), arg("width"), arg("channels"));
  m.def("roi_pool_forward", &pool, arg("a"), arg("b"), arg("c"), arg("d"),
        POOL);
  m.def("roi_pool_backward", &pool_grad, arg("a"), arg("b"), arg("c"),
        arg("d"), POOL);
  m.def("psamask_forward", &spread, arg("a"), arg("b"), SPREAD);
  m.def("psamask_backward", &spread_grad, arg("a"), arg("b"), SPREAD);
  m.def("tin_shift_forward", &shift);
  m.def("tin_shift_backward", &shift_grad);
}
"""


def serve(sources: Path) -> None:
    """Compile the kernels and let `mmcv._ext` be them, in this process.

    Args:
        sources: The unpacked source distribution of mmcv 2.1.0.
    """
    from torch.utils.cpp_extension import load

    csrc = sources.resolve() / 'mmcv' / 'ops' / 'csrc'
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / 'cuda.h').write_text('')
        (Path(folder) / 'pytorch_cuda_helper.hpp').write_text(CUDA_WORDS)
        (Path(folder) / 'operators.cpp').write_text(OPERATORS)
        includes = [Path(folder)] + [
            csrc / name for name in ('common/cuda', 'pytorch', 'common')
        ]
        module = load(
            'mmcv_kernels_on_cpu',
            [str(Path(folder) / 'operators.cpp')],
            extra_include_paths=[str(path) for path in includes],
            build_directory=folder,
        )
    extension = ModuleType('mmcv._ext')
    extension.__dict__.update(vars(module))
    # The wrappers look up all of their operators when they are imported.
    extension.__getattr__ = lambda name: None  # type: ignore[method-assign]
    sys.modules['mmcv._ext'] = extension
