#!/bin/sh
# Prints the PrometheusRule made of deploy/prometheus/alerts.yml; `make k8s-check` tells whether rules.yaml is that.
set -eu
cat <<'HEAD'
# Made of deploy/prometheus/alerts.yml by rules.sh: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: vit-serve
spec:
HEAD
awk '/^groups:/ { on = 1 } on { print ($0 == "" ? "" : "  " $0) }' "$(dirname "$0")/../../../prometheus/alerts.yml"
