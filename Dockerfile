# The RunPod worker, for linux/amd64:
#   docker build --platform linux/amd64 --tag whispertrain:1 .
#   docker run --rm --gpus all --shm-size 4g whispertrain:1 python -u handler.py --test_input '{"input": {"self_test": true}}'

# torch's wheels bring CUDA 13.0 and cuDNN; a CUDA base image would be a second copy that nothing loads.
FROM python:3.11.14-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /worker
COPY requirements.txt constraints.txt ./
RUN pip install -r requirements.txt

# The SDK's own checks would import torch in the handler and hold memory on every GPU; `self_test` does more.
# A folder that does not exist yet is made; with a network volume the base models stay there between workers.
ENV RUNPOD_LOG_LEVEL=INFO \
    RUNPOD_SKIP_AUTO_SYSTEM_CHECKS=true \
    HF_HOME=/runpod-volume/huggingface-cache \
    HF_HUB_DISABLE_TELEMETRY=1 \
    TOKENIZERS_PARALLELISM=false

COPY accelerate_configs accelerate_configs
COPY recipe recipe
COPY handler.py train.py test_input.json ./
RUN python -m compileall -q handler.py train.py recipe

# Exec form: the handler is process 1, gets RunPod's SIGTERM itself, and takes the container down with it.
CMD ["python", "-u", "handler.py"]
