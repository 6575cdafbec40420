# syntax=docker/dockerfile:1
# The program and nothing else: no shell, no C library but its own. `make docker-cpu` builds it; docs/installing.md shows how it is run.
FROM rust:1.95-slim-bookworm AS build
# Whatever Debian 12 has of them; none is in the image that results.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates debian-archive-keyring g++ make python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN make dist \
    && mkdir -p /image/opt/microclip-pipe /image/etc/ssl/certs \
    && tar --extract --directory /image/opt/microclip-pipe --strip-components 1 --file dist/microclip-pipe-*.tar.gz \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs \
    && install -d -m 1777 /image/tmp /image/work

FROM scratch
COPY --from=build /image /
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/opt/microclip-pipe/microclip-pipe"]
