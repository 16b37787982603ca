# docker build --tag a2sg_zoo .
# docker run --rm --gpus all a2sg_zoo a2sg-zoo train configs/resnet_small_digits_a2sg.py
# torch brings CUDA's libraries; the host needs NVIDIA's driver and container toolkit. For an image without CUDA, smaller by
# several GB, pass --build-arg TORCH_INDEX=ADDRESS with the address of PyTorch's builds for CPUs (pytorch.org, Get started).
FROM python:3.11-slim-bookworm

# OpenCV loads libGL and GLib; torch.compile and Triton need a compiler. Debian keeps the newest version of a package alone.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 user

WORKDIR /opt/a2sg_zoo
# torch is the largest part. Its layer stays when the code changes.
COPY constraints.txt .
ARG TORCH_INDEX=
RUN PIP_EXTRA_INDEX_URL="$TORCH_INDEX" pip install --no-cache-dir -c constraints.txt torch torchvision

COPY . .
ARG EXTRAS=hub,export
RUN pip install --no-cache-dir -c constraints.txt ".[$EXTRAS]"

USER 1000
WORKDIR /home/user
CMD ["a2sg-zoo", "--help"]
