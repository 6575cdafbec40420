# syntax=docker/dockerfile:1
# The program with both sides of libtorch, for NVIDIA's container toolkit, which brings the driver. `make docker-cuda` builds it;
# docs/installing.md shows how it is run.
FROM rust:1.95-slim-bookworm AS build
# Whatever Debian 12 has of them; none is in the image that results.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates debian-archive-keyring g++ make python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# The program looks in ../torch/lib for libtorch, and in cuda below that for the CUDA side. Headers stay here.
RUN make program cuda \
    && mkdir -p /image/microclip_pipe /image/torch /image/pipelines \
    && cp target/package/microclip-pipe /image/microclip_pipe \
    && cp --recursive "$(realpath .libtorch)/lib" "$(realpath .libtorch)/licenses" /image/torch \
    && cp pipelines/flowers.toml /image/pipelines \
    && cp --recursive data /image \
    && python3 packaging/licences.py >/image/LICENSES.txt

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /image /opt/microclip-pipe
ENV PATH=/opt/microclip-pipe/microclip_pipe:$PATH NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN install -d -m 1777 /work
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["microclip-pipe"]
