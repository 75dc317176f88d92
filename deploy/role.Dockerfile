# A role service: `docker build --build-arg ROLE=planner --build-arg ENGINE=gpu -f deploy/role.Dockerfile .`
#
# ROLE is planner, caller, summarizer, shared (all three on one engine) or backbone (the single-model agent); ENGINE is
# cpu or gpu. The images are for linux/amd64, as vLLM's builds are.
# A GPU needs nothing of the base: torch and vLLM bring CUDA in their wheels, and the driver comes from the host.
#
# At run time only /var/cache/alpha-umi and /tmp are written to, by user 10001.

# The base by digest (the multi-platform index of 2026-10-01). Another one: --build-arg BASE=...
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
ARG ROLE
ARG ENGINE

FROM ${BASE} AS wheel
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY deploy/requirements/build.txt /locks/
RUN pip install --no-deps --require-hashes --only-binary :all: -r /locks/build.txt
COPY pyproject.toml README.md LICENSE /source/
COPY alpha_umi /source/alpha_umi
COPY services /source/services
RUN pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels /source

FROM ${BASE} AS environment
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

FROM environment AS environment-cpu
# Where the CPU build of torch is; its version is on no ordinary index.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY deploy/requirements/torch-cpu.txt deploy/requirements/role-cpu.txt /locks/
RUN pip install --no-deps --require-hashes --only-binary :all: --index-url ${TORCH_INDEX} -r /locks/torch-cpu.txt
RUN pip install --no-deps --require-hashes --only-binary :all: -r /locks/role-cpu.txt

FROM environment AS environment-gpu
COPY deploy/requirements/role-gpu.txt /locks/
RUN pip install --no-deps --require-hashes --only-binary :all: -r /locks/role-gpu.txt

# COPY --from expands no variables, FROM does.
FROM environment-${ENGINE} AS environment-chosen

FROM environment-chosen AS bill
# What the image holds (CycloneDX) and the licences of it, read from the environment that is copied into the image.
COPY deploy/requirements/bill.txt /locks/
RUN python3 -m venv /opt/bill \
    && /opt/bill/bin/pip install --no-deps --require-hashes --only-binary :all: -r /locks/bill.txt \
    && mkdir /bill \
    && /opt/bill/bin/cyclonedx-py environment --output-reproducible --output-file /bill/sbom.cdx.json \
        /opt/venv/bin/python \
    && /opt/bill/bin/pip-licenses --python /opt/venv/bin/python --format plain-vertical --with-urls \
        --with-license-file --no-license-path --output-file /bill/THIRD_PARTY_NOTICES

FROM ${BASE} AS base-cpu
# vLLM's CPU kernels are linked against libnuma.
RUN apt-get update && apt-get install --yes --no-install-recommends libnuma1 && rm -rf /var/lib/apt/lists/*

FROM ${BASE} AS base-gpu
# Triton compiles the launchers of its kernels when the engine starts.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
# FlashInfer's sampler would be compiled as well, by an nvcc that is not here; vLLM has another one.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility VLLM_USE_FLASHINFER_SAMPLER=0

FROM base-${ENGINE} AS service
COPY --from=environment-chosen /opt/venv /opt/venv
COPY --from=wheel /wheels /wheels
RUN /opt/venv/bin/pip install --no-index --no-deps --no-cache-dir /wheels/*.whl \
    && rm -r /wheels /opt/venv/bin/alpha-umi \
    && useradd --uid 10001 --no-create-home --home-dir /var/cache/alpha-umi --shell /usr/sbin/nologin alpha-umi \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/cache/alpha-umi
COPY --from=bill /bill /usr/share/doc/alpha-umi
COPY deploy/healthcheck.py /usr/local/bin/healthcheck
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/cache/alpha-umi \
    XDG_CACHE_HOME=/var/cache/alpha-umi \
    XDG_CONFIG_HOME=/var/cache/alpha-umi/config \
    TMPDIR=/tmp \
    ALPHA_UMI_ROLE_HOST=0.0.0.0 \
    ALPHA_UMI_ROLE_MODELS_DIR=/models
WORKDIR /var/cache/alpha-umi
USER 10001:10001
# A first start converts or loads gigabytes; after that an engine that is lost ends the process by itself.
HEALTHCHECK --interval=15s --timeout=10s --retries=3 --start-period=15m \
    CMD healthcheck "http://127.0.0.1:${ALPHA_UMI_ROLE_PORT}/readyz"

FROM service AS planner
ENV ALPHA_UMI_ROLE_PORT=8001
EXPOSE 8001
CMD ["python", "-m", "services.planner"]

FROM service AS caller
ENV ALPHA_UMI_ROLE_PORT=8002
EXPOSE 8002
CMD ["python", "-m", "services.caller"]

FROM service AS summarizer
ENV ALPHA_UMI_ROLE_PORT=8003
EXPOSE 8003
CMD ["python", "-m", "services.summarizer"]

FROM service AS shared
ENV ALPHA_UMI_ROLE_PORT=8001
EXPOSE 8001
CMD ["python", "-m", "services.shared"]

FROM service AS backbone
ENV ALPHA_UMI_ROLE_PORT=8004
EXPOSE 8004
CMD ["python", "-m", "services.backbone"]

FROM ${ROLE}
