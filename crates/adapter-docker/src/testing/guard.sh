# Runs a private Docker engine in the folder $1 and takes orders on standard input: `kill`, `start`.
# When the input ends, everything goes: containers, engine, mounts, the folder itself.

dir=$1
PATH=$PATH:/usr/sbin:/sbin

# An engine without a default network removes `docker0`, which may belong to the machine's own engine; then this one gets a
# bridge of its own.
bridge=none
if [ -e /sys/class/net/docker0 ]; then
    bridge=fl-${dir##*-docker-}
    ip link add "$bridge" type bridge || exit 1
fi

launch() {
    # No iptables: the machine's rules are not ours to change. Ports are published by docker-proxy instead.
    # vfs: works on every file system. live-restore: containers outlive a killed engine.
    dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" \
        --host "unix://$dir/docker.sock" --bridge "$bridge" --iptables=false --ip6tables=false \
        --userland-proxy=true --storage-driver vfs --live-restore --log-level warn \
        >>"$dir/log" 2>&1 </dev/null &
    engine=$!
}

# Waits at most $1 tenths of a second until "$2" succeeds.
within() {
    left=$1
    while [ "$left" -gt 0 ] && ! eval "$2"; do
        sleep 0.1
        left=$((left - 1))
    done
}

# The engine's own containerd dies with it, but where nobody reaps it, it looks alive to the next engine.
end_containerd() {
    if [ -f "$containerd" ]; then
        kill -KILL "$(cat "$containerd")" 2>/dev/null
        rm -f "$containerd"
    fi
}

containerd=$dir/exec/containerd/containerd.pid
launch
while read -r order; do
    case $order in
    kill)
        kill -KILL "$engine"
        wait "$engine" 2>/dev/null
        end_containerd
        ;;
    start)
        rm -f "$dir/pid"
        launch
        ;;
    esac
done

tasks=$dir/exec/containerd/daemon/io.containerd.runtime.v2.task/moby
for file in "$tasks"/*/init.pid; do
    [ -f "$file" ] && kill -KILL "$(cat "$file")" 2>/dev/null
done
within 50 '[ -z "$(ls "$tasks" 2>/dev/null)" ]'
kill -TERM "$engine" 2>/dev/null
within 100 '! kill -0 "$engine" 2>/dev/null'
kill -KILL "$engine" 2>/dev/null
end_containerd
# A container's keeper whose containerd is gone has nobody left to tell it that it is over.
for process in /proc/[0-9]*; do
    if tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -q -- "-address $dir/exec/containerd/containerd.sock"; then
        kill -KILL "${process#/proc/}" 2>/dev/null
    fi
done
grep -o " $dir/[^ ]*" /proc/mounts | sort -r | while read -r mount; do
    umount -l "$mount" 2>/dev/null
done
[ "$bridge" = none ] || ip link del "$bridge"
rm -rf "$dir"
