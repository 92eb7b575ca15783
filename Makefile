# Kinestream: `make demo` shows it, `make test` checks it. Each target first sets up what is missing on this machine.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# A target here is a command, not a file; cargo knows what is up to date.
.PHONY: help setup build demo test fmt lint bench models parity install clean-demo

ENV := . scripts/env.sh;
PREFIX ?= $(HOME)/.local
PLUGIN_DIR ?= $(or $(XDG_DATA_HOME),$(HOME)/.local/share)/gstreamer-1.0/plugins

help: ## Show this list
	@echo "Kinestream: live metric motion from camera feeds, and answers about it."
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-11s %s\n", $$1, $$2}'
	@echo
	@echo "Settings: SCENE= SEED= VIDEO= DETECTOR= CLASSES= CAMERA= DURATION= (demo), PREFIX= PLUGIN_DIR= (install), CARGO_TARGET_DIR=, ORT_DYLIB_PATH="

setup: ## Install what is missing: apt packages, Rust, ONNX Runtime (asks sudo where needed)
	@scripts/setup.sh

build: setup ## Build the command, the plugin and the examples
	@scripts/build.sh

demo: setup ## Serve a simulated camera over RTSP, run the chain on it, watch objects and answers; leaves demo/
	@scripts/demo.sh

test: setup ## Check everything, cheapest first
	@scripts/test.sh

fmt: setup ## Format the Rust sources
	@$(ENV) cargo fmt --all

lint: setup ## Check formatting and lints only
	@scripts/test.sh format lint

bench: setup ## Run the benchmarks of docs/benchmarks.md (optimised build, several minutes)
	@$(ENV) cargo bench --workspace

parity: setup ## Compare LLaVA-OneVision in full size with transformers, layer by layer and in speed (pip, 8 GB of disk)
	@scripts/parity.sh

models: setup ## Train the default models anew in the simulator (PyTorch on the processor, MINUTES=80)
	@scripts/models.sh

install: setup ## Install the command to PREFIX/bin and the plugin for this user
	@$(ENV) cargo build --release --workspace
	@$(ENV) install -D -m 755 "$$CARGO_TARGET_DIR/release/kinestream" "$(PREFIX)/bin/kinestream"
	@$(ENV) install -D -m 755 "$$CARGO_TARGET_DIR/release/libgstkinestream.so" "$(PLUGIN_DIR)/libgstkinestream.so"
	@$(ENV) echo "installed $(PREFIX)/bin/kinestream and $(PLUGIN_DIR)/libgstkinestream.so"; \
	  echo "put this line into your profile, so that models find ONNX Runtime:"; \
	  echo "  export ORT_DYLIB_PATH=$$ORT_DYLIB_PATH"

clean-demo: ## Remove what the demo left
	@rm -rf demo
