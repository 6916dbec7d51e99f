#!/usr/bin/env bash
# run.sh pytorch|keras_tf|gradient_graph ARGUMENTS: trains once and prints a line of JSON.
cd "$(dirname "$0")" && LD_LIBRARY_PATH=.venv/stubs exec ".venv/$1/bin/python" "$1.py" "${@:2}"
