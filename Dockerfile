# swin_dense with the versions that its tests ran with. See docs/install.md.
#   docker build -t swin_dense .
#   docker run --rm -it --gpus all --shm-size 8g -v "$PWD:/work" swin_dense
FROM python:3.12-slim-bookworm

# PyTorch's wheels of this index; PyPI's bring CUDA on Linux.
ARG TORCH_INDEX=https://pypi.org/simple

# The libraries that OpenCV's wheel expects, and a compiler for Triton.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev libgl1 \
        libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# PyTorch first: its layer stays when the sources change.
COPY constraints.txt /opt/swin_dense/
RUN pip install -c /opt/swin_dense/constraints.txt \
    --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple torch

COPY . /opt/swin_dense/
RUN pip install -c /opt/swin_dense/constraints.txt '/opt/swin_dense[all]' \
    && pip install -c /opt/swin_dense/constraints.txt --no-deps mmaction2 \
    && swin-dense --version && python -m swin_dense.compat

# Not as root: files in mounted folders then belong to this user.
RUN useradd --create-home --uid 1000 user
USER user
WORKDIR /work
CMD ["swin-dense", "--help"]
