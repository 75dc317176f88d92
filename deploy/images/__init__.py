"""Build the images without a Docker engine, and run what they hold as a container would: `make images`.

Debian's buildah builds the Dockerfiles as they are. Where the base image cannot be had from a registry, debootstrap
makes one like it. What an image runs gets a read-only root, the unprivileged user, no capabilities and a network
namespace without a way out; limits of memory and processors, which need an engine, are left out.
"""
