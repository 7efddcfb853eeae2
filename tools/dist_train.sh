#!/usr/bin/env bash
# Train on several GPUs, or processes where there is no GPU.
#   tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
#   tools/dist_train.sh configs/cascade_swin_b_coco.py 8 --auto-scale-lr
# Several machines: run it on each with NNODES, NODE_RANK and MASTER_ADDR set.
# Two runs on one machine: give the second another PORT.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
fi
config=$1 gpus=$2
shift 2
# The interpreter whose packages are meant, be its environment active or not.
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}" \
    --master_addr "${MASTER_ADDR:-127.0.0.1}" \
    --master_port "${PORT:-29500}" --nproc_per_node "$gpus" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
