# SPDX-License-Identifier: Apache-2.0
# A thin front for meson and tools/.
#   make          install what is missing, build into build/
#   make demo     a language model in a microVM on this machine's GPU, from scratch
#   make check    build and run every test suite that this host can run
#   make install  install into PREFIX (default /usr/local)

BUILD ?= build
PREFIX ?= /usr/local

.PHONY: all deps demo check install clean

all: deps
	@test -d $(BUILD)/meson-private || meson setup $(BUILD) --buildtype=release -Doptimization=2 --prefix=$(PREFIX)
	ninja -C $(BUILD)

deps:
	@tools/install-deps

demo:
	@command -v python3 >/dev/null || tools/install-deps
	@BUILD=$(BUILD) tools/demo

check: deps
	@tools/check

install: all
	meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) build-*
