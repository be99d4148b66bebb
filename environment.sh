#!/bin/sh
# Make the virtual environment $1 and install requirements.txt into it.
#
# torch and torchvision must be built for one another: a pair that does not match fails
# at import. A torch that the active Python already has is kept when a torchvision that
# fits it can be had; otherwise the environment gets a matching pair of its own.
set -eu

venv=${1:?usage: environment.sh FOLDER}
python=${PYTHON:-python3}
works='import torch, torchvision; torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)'

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "$("$python" --version) is too old: Python 3.11 or newer is needed. Name one with PYTHON=..." >&2
    exit 1
}
"$python" -c 'import ensurepip, venv' 2>/dev/null || {
    echo "$python cannot make virtual environments: install its venv module (Debian: apt-get install python3-venv)" >&2
    exit 1
}

make_venv() {
    echo "Making the environment $venv (the first time takes a few minutes) ..."
    "$python" -m venv --clear "$venv"
}

install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt "$@"
}

if kept=$("$python" -c 'import torch, importlib.metadata as m; print(m.version("torch"))' 2>/dev/null); then
    make_venv
    # The folder that holds torch joins the search path of the new environment.
    "$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parents[1])' \
        > "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/kept_torch.pth"
    echo "torch==$kept" > "$venv/constraints.txt"
    if install -c "$venv/constraints.txt" && "$venv/bin/python" -c "$works" 2>/dev/null; then
        echo "Kept torch $kept of the active environment."
        touch "$venv/installed"
        exit 0
    fi
    echo "No torchvision fits torch $kept of the active environment: taking a matching pair."
fi

make_venv
install
"$venv/bin/python" -c "$works" || {
    echo "torch and torchvision in $venv do not match: see the message above; remove $venv and try again with a network" >&2
    exit 1
}
touch "$venv/installed"
