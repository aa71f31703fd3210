# The images of vit-serve: Python, the service and its runtime dependencies; nothing to build with, nobody's cache.
#
#   docker build -t vit-serve:openvino --target openvino --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu .
#       for CPUs: no torch in it. Serves the embedded model, and packages that `vit-serve build` made in the other image.
#   docker build -t vit-serve:torch --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu .
#       with torch's CPU build: for every model, and for `vit-serve build`, `train` and others that need torch
#   docker build -t vit-serve:cuda .
#       with torch as the package index has it, which on x86-64 is the CUDA build, several gigabytes: for GPUs
#
# torch is needed to build either: it makes the embedded model's graph. constraints.txt says torch==2.13.0. That also
# matches 2.13.0+cpu, and pip ranks a local version (`+cpu`) above the same version without one, so wherever an index or a
# folder offers both, the CPU build is the one that gets installed.

FROM python:3.11-slim-bookworm AS libraries

# pip takes these from its environment. What builds on this stage has to name them again.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_WARN_SCRIPT_LOCATION=1
# without the setuptools that comes along: only torch wants one, and a newer
RUN python -m venv /opt/vit-serve && /opt/vit-serve/bin/pip uninstall --yes setuptools
WORKDIR /build

# The dependencies first: these layers, by far the largest, are built again only when one of the two files changes.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > requirements.txt \
    && grep -v '^torch\b' requirements.txt > without-torch.txt \
    && /opt/vit-serve/bin/pip install -c constraints.txt -r without-torch.txt \
    # OpenVINO's reports to its makers. vit-serve never imports them; here nothing else can, either
    && /opt/vit-serve/bin/pip uninstall --yes openvino-telemetry \
    # what OpenVINO has for other devices than CPUs, and for compilers: 60 MB
    && cd /opt/vit-serve/lib/python3.11/site-packages/openvino \
    && rm -rf include libs/libopenvino_intel_gpu_plugin.so libs/libopenvino_intel_npu_plugin.so libs/cache.json


# torch and what only torch needs, apart, so that it is a layer which one image has and the other has not.
FROM libraries AS torch-libraries
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
RUN grep '^torch\b' requirements.txt > torch.txt \
    && /opt/vit-serve/bin/pip install --prefix=/opt/torch -c constraints.txt -r torch.txt \
    # torch's C++ headers and its own tests: 150 MB of use only to a compiler, which is not here
    && rm -rf /opt/torch/lib/python3.11/site-packages/torch/include /opt/torch/lib/python3.11/site-packages/torch/test


# The service, whose embedded model gets its float32 graph, so that no start has to make it. That lies in the package and
# not in a cache, as a volume that is mounted over the cache would hide it.
FROM torch-libraries AS package
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
COPY README.md LICENSE ./
COPY app/ app/
RUN PYTHONPATH=/opt/torch/lib/python3.11/site-packages /opt/vit-serve/bin/python -m app build embedded --out embedded \
    && cp embedded/openvino/* app/package/pretrained/openvino/ \
    && /opt/vit-serve/bin/pip install --no-deps --prefix=/opt/package .


FROM python:3.11-slim-bookworm AS runtime

# The cache is a place for a volume, which takes its owner from here; without one, or on a read-only root, all works too,
# but for models of a hub, which are fetched into it.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin vit \
    && install --directory --owner=10001 --group=10001 /var/cache/vit-serve
COPY --from=libraries /opt/vit-serve /opt/vit-serve

# Nothing has to be written at run time, so the root file system may be read-only. The host is a variable, and no option
# of the command, so that it holds for any command, and can be changed like every other.
ENV PATH=/opt/vit-serve/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    VIT_HOST=0.0.0.0 VIT_CACHE_DIR=/var/cache/vit-serve HF_HOME=/var/cache/vit-serve/huggingface

# By number, so that Kubernetes' runAsNonRoot can tell that it is not root.
USER 10001:10001
EXPOSE 8000

# On the admin port where there is one, as it answers while the other is busy; and past any HTTP_PROXY.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as r; e = os.environ.get; port = int(e('VIT_ADMIN_PORT') or 0) or e('VIT_PORT', '8000'); \
    r.build_opener(r.ProxyHandler({})).open(f'http://127.0.0.1:{port}/readyz', timeout=4)"]

ENTRYPOINT ["vit-serve"]
CMD ["serve"]


FROM runtime AS openvino
COPY --from=package /opt/package /opt/vit-serve


# The last, so the one that is built where none is named.
FROM runtime AS torch
COPY --from=torch-libraries /opt/torch /opt/vit-serve
COPY --from=package /opt/package /opt/vit-serve
