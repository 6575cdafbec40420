#!/bin/sh
# An executor in a network of its own, which is cut off in the middle and comes back: every picture is there once, and the rows are
# those of one machine. It needs root, for network namespaces; without, it says so and ends well.
#
# Usage: cut_off.sh PROGRAM
set -eu

program=$(realpath "$1")
cd "$(dirname "$0")/../.."
if ! ip netns add "microclip-$$" 2>/dev/null; then
    echo 'cut_off: network namespaces need root: left out' >&2
    exit 0
fi
space=microclip-$$
folder=$(mktemp -d)
processes=
ended() {
    for process in $processes; do kill -KILL "$process" 2>/dev/null || true; done
    ip netns del "$space"
    ip link del "mc$$a" 2>/dev/null || true
    rm -rf "$folder"
}
trap ended EXIT

ip link add "mc$$a" type veth peer name "mc$$b"
ip link set "mc$$b" netns "$space"
ip addr add 10.231.77.1/30 dev "mc$$a"
ip link set "mc$$a" up
ip -n "$space" addr add 10.231.77.2/30 dev "mc$$b"
ip -n "$space" link set "mc$$b" up
ip -n "$space" link set lo up

export MICROCLIP_CLUSTER_TOKEN=0123456789abcdef0123456789abcdef
"$program" cluster scheduler --listen 10.231.77.1 --port 0 --allow-plaintext --executor-timeout 10 >"$folder/address" 2>"$folder/scheduler" &
processes="$processes $!"
until [ -s "$folder/address" ]; do sleep 0.1; done
address=$(head -n 1 "$folder/address")
"$program" cluster executor "$address" --threads 1 2>"$folder/near" &
processes="$processes $!"
ip netns exec "$space" "$program" cluster executor "$address" --threads 1 2>"$folder/far" &
processes="$processes $!"

embed() { "$program" embed pipelines/flowers.toml --set embed.part_rows=64 --set views.count=1 --quiet "$@"; }
parts() { find "$folder/cluster/embeddings" -name '*.parquet' 2>/dev/null | wc -l; }
embed --store "$folder/cluster" --cluster "$address" &
driver=$!
processes="$processes $driver"
until [ "$(parts)" -ge 3 ]; do sleep 0.1; done
ip link set "mc$$a" down
echo "cut off after $(parts) parts"
sleep 20
echo "back after $(parts) parts"
ip link set "mc$$a" up
wait "$driver"
embed --store "$folder/alone"

rows() {
    "$program" sql pipelines/flowers.toml --set views.count=1 --store "$folder/$1" --format csv --quiet \
        'SELECT image_id, cls_feature, fiedler_gap FROM embeddings ORDER BY image_id'
}
rows cluster >"$folder/cluster.csv"
rows alone >"$folder/alone.csv"
cmp "$folder/cluster.csv" "$folder/alone.csv"
tail -n 3 "$folder/far"
echo "cut_off: $(($(wc -l <"$folder/alone.csv") - 1)) rows, the same as those of one machine"
