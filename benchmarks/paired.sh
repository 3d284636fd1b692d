#!/usr/bin/env bash
# Two versions of the code, by turns on one machine: steps of the training, a song of 95 s, a short training.
#
#     benchmarks/paired.sh BEFORE AFTER DATA [ROUNDS]
#
# BEFORE and AFTER are clones, run with the Python of this one; DATA is a dataset for mp3net2-nano. Pause everything else.
set -euo pipefail
python=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/python
data=$(realpath "$3")
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
for round in $(seq "${4:-3}"); do
    for version in "$1" "$2"; do
        echo "== round $round: $version"
        (
            cd "$version"
            export PYTHONPATH=$PWD/src
            "$python" benchmarks/step.py --precision bfloat16 --runs 5 | grep "step:"
            "$python" benchmarks/generate.py --preset piano-95s --precision bfloat16 --runs 3
            "$python" benchmarks/generate.py --preset mp3net2-95s --precision bfloat16 --runs 9
            "$python" -m mp3net train "$data" --preset mp3net2-nano --out "$runs/$round-${version//\//-}" --tracks 2400 \
                --set run.evaluate_samples=0 --set run.sample_every_tracks=100000 | grep "tracks  "
        )
    done
done
