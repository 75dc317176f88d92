"""Build the images without a Docker engine, and run their commands as a container would: `make images`.

Debian's buildah builds the unmodified Dockerfiles. If the base image is not available from a registry, debootstrap
creates a similar one. A command runs with a read-only root, the unprivileged user, no capabilities, and an isolated
network namespace. Memory and CPU limits, which need an engine, are not applied.
"""
