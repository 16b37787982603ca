# For CPU:   docker build --tag a2sg_zoo .
# For CUDA:  docker build --tag a2sg_zoo:cuda --build-arg TORCH_INDEX=ADDRESS .
#            docker run --rm --gpus all a2sg_zoo:cuda a2sg-zoo train configs/resnet_small_digits_a2sg.py
# CUDA's libraries come with torch; the host needs NVIDIA's driver and container toolkit.
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
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -c constraints.txt torch torchvision

COPY . .
ARG EXTRAS=hub,export
RUN pip install --no-cache-dir -c constraints.txt ".[$EXTRAS]"

USER 1000
WORKDIR /home/user
CMD ["a2sg-zoo", "--help"]
