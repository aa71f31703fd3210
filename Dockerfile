# The image of vit-serve: Python, the service and its runtime dependencies; nothing to build with, nobody's cache.
#
#   docker build -t vit-serve .                       as the package index has torch: on x86-64 that is the CUDA build
#   docker build -t vit-serve --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu .
#                                                     the CPU build, a quarter of the size
#
# pyproject.toml pins torch==2.13.0. That also matches 2.13.0+cpu, and pip ranks a local version (`+cpu`) above the same
# version without one, so wherever an index or a folder offers both, the CPU build is the one that gets installed.

FROM python:3.11-slim-bookworm AS build

# pip takes these from its environment.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/vit-serve
WORKDIR /build

# The dependencies first: this layer, by far the largest, is built again only when pyproject.toml changes.
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > requirements.txt \
    && /opt/vit-serve/bin/pip install -r requirements.txt \
    # torch's C++ headers and its own tests: 150 MB of use only to a compiler, which is not here
    && rm -rf /opt/vit-serve/lib/python3.11/site-packages/torch/include /opt/vit-serve/lib/python3.11/site-packages/torch/test

COPY README.md LICENSE ./
COPY app/ app/
RUN /opt/vit-serve/bin/pip install --no-deps .


FROM python:3.11-slim-bookworm

RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin vit
COPY --from=build /opt/vit-serve /opt/vit-serve

# Nothing is written at run time, so the root file system may be read-only. The host is a variable, and no option of the
# command, so that it holds for any command, and can be changed like every other.
ENV PATH=/opt/vit-serve/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 VIT_HOST=0.0.0.0

# By number, so that Kubernetes' runAsNonRoot can tell that it is not root.
USER 10001:10001
EXPOSE 8000

# On the admin port where there is one, as it answers while the other is busy; and past any HTTP_PROXY.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as r; e = os.environ.get; port = int(e('VIT_ADMIN_PORT') or 0) or e('VIT_PORT', '8000'); \
    r.build_opener(r.ProxyHandler({})).open(f'http://127.0.0.1:{port}/readyz', timeout=4)"]

ENTRYPOINT ["vit-serve"]
CMD ["serve"]
