# The images of vit-serve: Python, the service and its runtime dependencies; nothing to build with, nobody's cache.
#
#   docker build -t vit-serve:openvino --target openvino .
#       for CPUs: no torch in it. Serves the embedded model, and packages that `vit-serve build` made in the other image.
#   docker build -t vit-serve:torch .
#       with torch's CPU build: for every model, and for `vit-serve build`, `train` and others that need torch
#   docker build -t vit-serve:cuda --build-arg TORCH=cuda .
#       with torch's CUDA build, several gigabytes: for GPUs
#   docker buildx bake
#       all three for amd64 and arm64: docker-bake.hcl
#
# torch is needed to build either: it makes the embedded model's graph. Every package is the file that deploy/locks names by its
# hash (`make lock` renews them), and the base is one image by its digest (`make base-digest` renews it).

ARG PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON_IMAGE} AS libraries

# A mirror of the package index, if need be; the hashes hold there too. What builds on this stage has to name it again.
ARG PIP_INDEX_URL
# Packages to leave out, such as pillow-heif (deploy/README.md, "Licences")
ARG OMIT

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_WARN_SCRIPT_LOCATION=1
# What installs has an environment of its own, which stays behind.
RUN python -m venv /opt/pip && python -m venv --without-pip /opt/vit-serve
ENV PIP="/opt/pip/bin/pip --python /opt/vit-serve/bin/python" BUILD=/opt/pip/lib/python3.11/site-packages
WORKDIR /build

# The dependencies first: these layers, by far the largest, are built again only when their lock changes. Each lock is complete,
# so nothing is looked for that it does not name. pyvips is the one without a wheel: pure Python, built with the locked setuptools.
COPY deploy/locks/build.txt deploy/locks/runtime.txt ./
RUN /opt/pip/bin/pip install --require-hashes --no-deps --only-binary=:all: -r build.txt \
    && PYTHONPATH=$BUILD $PIP install --require-hashes --no-deps --only-binary=:all: --no-binary=pyvips --no-build-isolation \
        -r runtime.txt \
    && if [ -n "$OMIT" ]; then $PIP uninstall --yes $OMIT; fi \
    # what OpenVINO has for other devices than CPUs, and for compilers: 60 MB
    && cd /opt/vit-serve/lib/python3.11/site-packages/openvino \
    && rm -rf include libs/libopenvino_intel_gpu_plugin.so libs/libopenvino_intel_npu_plugin.so libs/cache.json


# torch and what only torch needs, apart, so that it is a layer which one image has and the other has not. torch's CPU build is
# on torch's own index, which is asked for nothing else: so no name on it can stand in for a package of ours.
FROM libraries AS torch-libraries
ARG PIP_INDEX_URL
ARG TORCH=cpu
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
COPY deploy/locks/torch.txt deploy/locks/torch-cpu.txt deploy/locks/torch-cuda.txt ./
RUN case "$TORCH" in cpu) index=--index-url=$TORCH_INDEX_URL ;; *) index= ;; esac \
    && $PIP install --prefix=/opt/torch --require-hashes --no-deps --only-binary=:all: $index -r "torch-$TORCH.txt" \
    && $PIP install --prefix=/opt/torch --require-hashes --no-deps --only-binary=:all: -r torch.txt \
    # torch's C++ headers and its own tests: 150 MB of use only to a compiler, which is not here
    && rm -rf /opt/torch/lib/python3.11/site-packages/torch/include /opt/torch/lib/python3.11/site-packages/torch/test


# The service, whose embedded model gets its float32 graph, so that no start has to make it. That lies in the package and
# not in a cache, as a volume that is mounted over the cache would hide it.
FROM torch-libraries AS package
COPY pyproject.toml README.md LICENSE ./
COPY app/ app/
RUN PYTHONPATH=/opt/torch/lib/python3.11/site-packages /opt/vit-serve/bin/python -m app build embedded --out embedded \
    && cp embedded/openvino/* app/package/pretrained/openvino/ \
    && PYTHONPATH=$BUILD $PIP install --no-deps --no-build-isolation --no-index --prefix=/opt/package .


# What asks whether the service is ready, every ten seconds: a static program of 60 kB instead of a Python each time.
FROM ${PYTHON_IMAGE} AS health-check
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends musl-tools >/dev/null
COPY deploy/health-check.c ./
RUN musl-gcc -std=c11 -D_GNU_SOURCE -Os -static -s -Wall -Wextra -Werror health-check.c -o /health-check


FROM ${PYTHON_IMAGE} AS runtime

# The cache is a place for a volume, which takes its owner from here; without one, or on a read-only root, all works too,
# but for models of a hub, which are fetched into it.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin vit \
    && install --directory --owner=10001 --group=10001 /var/cache/vit-serve
COPY --from=libraries /opt/vit-serve /opt/vit-serve
COPY --from=health-check /health-check /usr/local/bin/health-check

# Nothing has to be written at run time, so the root file system may be read-only. The host is a variable, and no option
# of the command, so that it holds for any command, and can be changed like every other.
ENV PATH=/opt/vit-serve/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    VIT_HOST=0.0.0.0 VIT_CACHE_DIR=/var/cache/vit-serve HF_HOME=/var/cache/vit-serve/huggingface

# By number, so that Kubernetes' runAsNonRoot can tell that it is not root. Any other number will do as well.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM

# No shell and no Python in either: both are started as they stand.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["health-check"]
ENTRYPOINT ["vit-serve"]
CMD ["serve"]


FROM runtime AS openvino
COPY --from=package /opt/package /opt/vit-serve


# The last, so the one that is built where none is named.
FROM runtime AS torch
COPY --from=torch-libraries /opt/torch /opt/vit-serve
COPY --from=package /opt/package /opt/vit-serve
