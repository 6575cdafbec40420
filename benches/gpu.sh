#!/bin/sh
# On a machine with a GPU: does it agree with the CPU, and how fast is it? In under eight minutes.
#
#     benches/gpu.sh BINARY [FOLDER]      in the project's root; what is made, is made in FOLDER (target/gpu)
#
# A binary that was built elsewhere will do: it opens CUDA at run time. It and everything here need python3 with torch 2.11, numpy, Pillow,
# pyarrow and safetensors, and transformers for the peer. PICTURES says how many are embedded.
set -eu
binary=$1 folder=${2:-target/gpu} pictures=${PICTURES:-6000} python=${PYTHON:-python3}
mkdir -p "$folder"
# The libtorch of that torch, its CUDA side included.
torch=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))')
LD_LIBRARY_PATH=$torch/lib
export LD_LIBRARY_PATH

say() { printf '\n== %s\n' "$1"; }

# What a verb says at the end of each stage; all of it where it fails.
stages() {
    if "$@" --device cuda --verbose > "$folder/said" 2>&1; then
        grep -E '\(.* s, .*/s\)|^done' "$folder/said"
    else
        cat "$folder/said"
        exit 1
    fi
}

say 'the machine'
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
"$binary" doctor pipelines/flowers.toml

say 'embedded pipeline, trained weights: the CPU, and the GPU'
for device in cpu cuda; do
    for precision in fp32 bf16; do
        echo "-- $precision on $device"
        "$binary" run pipelines/flowers.toml --device $device --store "$folder/$precision-$device" --set model.precision=$precision --quiet
    done
done
for precision in fp32 bf16; do
    echo "-- fp32 on the CPU, $precision on the GPU"
    "$python" benches/peers/agree.py "$folder/fp32-cpu" "$folder/$precision-cuda"
done

say "$pictures photographs"
[ -d "$folder/photos" ] || "$python" benches/inputs.py pictures "$folder/photos" "$pictures" 500x375-1024x768
for model in b32 b16 l14; do
    [ -d "$folder/$model" ] || "$python" benches/inputs.py model $model "$folder/$model"
    "$python" - "$folder" $model <<'PIPELINE'
import json, sys
from pathlib import Path
folder, model = Path(sys.argv[1]).resolve(), sys.argv[2]
classes = sorted(path.name for path in (folder / "photos").iterdir())
(folder / "sentences.json").write_text(json.dumps({name: [f"a picture of {name}.", f"{name} in the sun."] for name in classes}))
(folder / f"{model}.toml").write_text(f"""name = "{model}"
store = "{folder}/store-{model}"
[dataset]
kind = "folder"
path = "{folder}/photos"
[model]
path = "{folder}/{model}"
[text]
descriptions = "{folder}/sentences.json"
""")
PIPELINE
done
for model in b32 b16 l14; do
    echo "-- $model"
    stages "$binary" ingest "$folder/$model.toml"
    stages "$binary" embed "$folder/$model.toml"
done
echo '-- transformers, b32 in bf16, as many processes that decode as there are cores'
"$python" benches/peers/embed.py "$folder/b32" "$folder/photos" --precision bf16 --device cuda --threads "$(nproc)"

say "passes over $pictures photographs, b32, in batches of the default size and of 64"
for batch in 16 64; do
    for tune in head layernorm; do
        stages "$binary" adapt "$folder/b32.toml" --set adapt.tune=$tune --set adapt.batch=$batch --set adapt.epochs=3
    done
done
"$binary" sql "$folder/b32.toml" 'SELECT run, pass, round(seconds, 2) AS seconds, steps, round(loss, 3) AS loss FROM passes ORDER BY run, pass'
