#!/bin/sh
# make_venv.sh FOLDER [PYTHON]: an empty virtual environment, with PYTHON or with the first
# Python on the PATH that is new enough.
set -eu
folder=$1
wanted=${2:-}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

for python in ${wanted:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if new_enough "$python"; then
        rm -rf "$folder"
        if "$python" -m venv "$folder"; then
            exit 0
        fi
        echo "make setup: $python cannot create a virtual environment (see above);" \
            "on Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
done

echo "make setup: Python 3.11 or newer is needed;" \
    "${wanted:-python3} is $("${wanted:-python3}" --version 2>/dev/null || echo "not there")." \
    "Install one, or name it: make setup PYTHON=/path/to/python3" >&2
exit 1
