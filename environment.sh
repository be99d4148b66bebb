#!/bin/sh
# Make the virtual environment in the folder $1, in which everything here runs.
#
# Nothing is done when it is there, made from the same recipe. PYTHON=... names the
# Python to make it with. torch and torchvision must be built for one another: a pair
# that does not match fails at import. A torch that this Python already has is kept
# when a torchvision that fits it can be had; otherwise a matching pair is installed.
set -eu

fail() {
    echo "$*" >&2
    exit 1
}

given=${1:?usage: environment.sh FOLDER}
case $given in
"~"*) fail "VENV=$given begins with a ~ that the shell has not replaced: write \$HOME instead." ;;
/*) venv=$given ;;
*) venv=$PWD/$given ;;
esac
while [ "$venv" != "${venv%/}" ]; do venv=${venv%/}; done  # else a link looks like a folder
venv=${venv:-/}
CDPATH='' cd -- "$(dirname -- "$0")"

mark=$venv/made-by-environment.sh
stamp=$venv/installed
log=$venv/pip.log
kept=$venv/kept_torch
works='import torch, torchvision; torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)'
# Other packages must not look as if they were installed, nor land elsewhere.
unset PYTHONPATH PYTHONHOME
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

# All that the environment depends on, to be compared with what it was made from. The
# places belong to it, since they stand in the scripts that pip installs; the settings of
# tools at the end of pyproject.toml do not.
recipe() {
    "$venv/bin/python" -V
    echo "$(pwd -P) in $(CDPATH='' cd -- "$venv" && pwd -P)"
    sed '/^\[tool\.ruff\]/,$d' pyproject.toml
    cat requirements.txt requirements.lock environment.sh environment.py
}

up_to_date() {
    [ -f "$stamp" ] && [ -x "$venv/bin/python" ] || return 1
    recipe | cmp -s - "$stamp" || return 1
    [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -V 2>&1)" = "$("$venv/bin/python" -V)" ] || return 1
    for origin in "$kept"/*.dist-info/origin; do
        # Where it came from, it was removed or replaced.
        if [ -L "$origin" ] && [ ! -e "$origin" ]; then return 1; fi
    done
}

leave_alone() {
    fail "$venv is $1 that this script did not make: it is left alone. Remove it yourself, or name another folder, as in: make report VENV=/path/to/folder"
}

[ -w . ] || fail "$PWD cannot be written, and the report is built inside: copy it to a folder of your own, and run make there."
[ ! -L "$venv" ] || leave_alone "a link"
if [ -e "$venv" ]; then
    [ -d "$venv" ] || leave_alone "a file"
    [ -f "$mark" ] || [ -z "$(ls -A "$venv")" ] || leave_alone "a folder"
fi
if up_to_date; then exit 0; fi

# --- A Python that can make it --------------------------------------------------------

if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
else
    set -- python3 python3.14 python3.13 python3.12 python3.11
fi
python=
for candidate; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        # Its own path; where that is inside the folder, that of the Python behind it.
        python=$("$candidate" -c 'if True:
            import os, sys
            own = os.path.realpath(sys.prefix) == os.path.realpath(sys.argv[1])
            version = "python%d.%d" % sys.version_info[:2]
            print(os.path.join(sys.base_prefix, "bin", version) if own else sys.executable)
        ' "$venv")
        break
    fi
done
if [ -z "$python" ]; then
    found=$("$1" -V 2>/dev/null) || found=missing
    fail "Python 3.11 or newer is needed, and $1 is $found: install one, or name it, as in: make report PYTHON=/path/to/python3.12"
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments: install its venv module (Debian, Ubuntu: apt-get install python3-venv)."

# --- Making it ------------------------------------------------------------------------

make_venv() {
    rm -f "$stamp"  # first, so that an interruption leaves no stamp
    : >"$mark"
    find "$venv/." ! -name . -prune ! -name "${mark##*/}" -exec rm -rf {} +
    "$python" -m venv "$venv" || fail "$python could not make the environment $venv: see above."
}

# Install everything, under the constraints that are given; false when they cannot be met.
install() {
    if install_with --only-binary :all: -c requirements.lock "$@"; then return 0; fi
    echo "Not all versions of requirements.lock can be had here: taking what pyproject.toml allows."
    install_with --prefer-binary "$@"
}

install_with() {
    "$venv/bin/python" -m pip install -r requirements.txt "$@" >"$log" 2>&1 && return 0
    if grep -Eq 'ResolutionImpossible|No matching distribution' "$log" &&
        ! grep -q 'connection broken' "$log"; then return 1; fi
    tail -n 20 "$log" >&2
    fail "The installation failed: see above, or all of it in $log. With a network and room on the disk, run the same command again."
}

mkdir -p "$venv" 2>/dev/null && [ -w "$venv" ] ||
    fail "$venv cannot be written: name a folder that can, as in: make report VENV=/path/to/folder"
[ ! -f "$stamp" ] || echo "What the environment $given was made from has changed."
echo "Making the environment $given, once: 3 to 10 minutes. On Linux up to 3 GB are downloaded, and 7 GB needed; $log shows how far it is."
started=$(date +%s)
make_venv
if torch=$("$python" environment.py keep "$venv"); then
    if install -c "$kept/constraints.txt" && "$venv/bin/python" -c "$works" 2>>"$log"; then
        echo "Kept $torch."
    else
        echo "No torchvision fits $torch: taking a pair that matches."
        torch=
    fi
fi
if [ -z "$torch" ]; then
    make_venv
    install || {
        tail -n 20 "$log" >&2
        fail "No versions that fit this Python and this machine were found: see above, or all of it in $log."
    }
    "$venv/bin/python" -c "$works" 2>>"$log" ||
        fail "torch and torchvision in $venv do not match (the end of $log says how): run the same command again with a network, or with another PYTHON=..."
fi
recipe >"$stamp.new"
mv "$stamp.new" "$stamp"
echo "Made the environment in $(($(date +%s) - started)) s."
