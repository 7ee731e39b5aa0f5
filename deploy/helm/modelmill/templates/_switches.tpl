{{- /* Whether a `when` of files/edges.yaml holds: "true" or nothing. */ -}}
{{- define "modelmill.switch" -}}
{{- $v := .root.Values -}}
{{- $kedaLag := false -}}
{{- range $name, $component := $v.components }}{{ if eq $component.scaling.kind "lag" }}{{ $kedaLag = true }}{{ end }}{{ end -}}
{{- $switches := dict
  "natsBundled" (not $v.nats.address)
  "natsOutside" (not (not $v.nats.address))
  "natsCluster" (and (not $v.nats.address) (gt (int $v.nats.replicas) 1))
  "natsMonitored" (and (not $v.nats.address) $kedaLag)
  "triton" $v.triton.enabled
  "vllm" $v.vllm.enabled
  "prometheus" $v.monitoring.enabled
  "gatewayAsks" $v.monitoring.gatewayAsks
  "traces" (not (not $v.traces.endpoint))
  "bucket" (eq $v.artifacts.kind "s3")
  "internet" $v.network.gatewayReachesInternet
  "ray" (not (not $v.ray.address))
  "trainJob" $v.trainJob.enabled
-}}
{{- if not (hasKey $switches .when) }}{{ fail (printf "files/edges.yaml: there is no switch %q" .when) }}{{ end -}}
{{- if index $switches .when }}true{{ end -}}
{{- end -}}
