#!/usr/bin/env bash
# A Slurm of one node on this machine, for tests: `slurm.sh start FOLDER` and `slurm.sh stop FOLDER`. Needs root and Debian's
# slurm-wlm and munge. Its files are in FOLDER, except /etc/slurm/slurm.conf: srun looks nowhere else once Snakemake has
# cleared a job's environment. A machine that has one already is left alone. No accounting, no cgroups.
set -euo pipefail
folder=$(realpath -m "$2")
conf=/etc/slurm/slurm.conf

start() {
    if [ -e "$conf" ]; then
        echo "$conf is there: this machine has a Slurm already" >&2
        exit 1
    fi
    mkdir -p "$folder"/{state,spool,log,run} /etc/slurm
    cat >"$conf" <<CONF
ClusterName=test
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmctldPort=${SLURM_TEST_PORT:-26817}
SlurmdPort=$((${SLURM_TEST_PORT:-26817} + 1))
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
NodeName=$(hostname) NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    (umask 077 && head -c 1024 /dev/urandom >"$folder/run/munge.key")
    chown -R munge: "$folder/run"
    chmod 755 "$folder/run"
    # --force: the folder lies below /tmp, which everybody may write to.
    setpriv --reuid munge --regid munge --clear-groups munged --force --key-file "$folder/run/munge.key" \
        --socket "$folder/run/munge.socket" --pid-file "$folder/run/munged.pid" --log-file "$folder/run/munged.log" \
        --seed-file "$folder/run/munged.seed"
    slurmctld
    slurmd
    for _ in $(seq 60); do
        if sinfo --noheader --format %T 2>/dev/null | grep -q idle; then return; fi
        sleep 1
    done
    echo "the node did not come up; see $folder/log" >&2
    exit 1
}

stop() {
    timeout 10 scancel --partition main || true
    sleep 1
    for daemon in slurmd slurmctld munged; do
        if [ -f "$folder/run/$daemon.pid" ]; then kill "$(cat "$folder/run/$daemon.pid")" || true; fi
    done
    if grep -qs "$folder/" "$conf"; then rm "$conf"; fi
}

"$1"
