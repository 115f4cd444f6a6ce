# Two front doors, each from a bare Debian 12 with root: `make demo` and `make test`.
.PHONY: demo test lint clean
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# What the tests and the demo run besides Python. `provision lab up` installs what the lab needs by itself.
APT := $(shell sed 's/\#.*//' apt.txt)

demo: .venv/ready
	provision demo --yes

test: .venv/ready
	pytest

lint: .venv/ready
	pytest tests/lint tests/test_architecture.py

.venv/ready: pyproject.toml apt.txt
	test "$$(dpkg-query -W -f '$${db:Status-Status}\n' $(APT) 2>/dev/null | grep -cx installed)" = $(words $(APT)) || \
	  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(APT); }
	test -x .venv/bin/pip || python3 -m venv .venv
	pip install --quiet --editable '.[test,client]'
	touch $@

clean:
	rm -rf .venv dist .*_cache
