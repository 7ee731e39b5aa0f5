{{- define "modelmill.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "modelmill.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Pods of a component apart from each other, on hosts and in zones. */ -}}
{{- define "modelmill.spread" -}}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ $key | quote }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "modelmill.selector" $ | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "modelmill.placement" -}}
{{- with .v.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .v.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints: {{- include "modelmill.spread" . | nindent 2 }}
{{- if .root.Values.priorities.enabled }}
priorityClassName: {{ include "modelmill.priorityClass" . | quote }}
{{- end }}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "modelmill.environment" -}}
{{- $p := .c.prefix -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $env := dict
  "NATS_URL" (include "modelmill.natsUrl" $root)
  "NATS_NKEY_SEED_FILE" "/etc/modelmill/bus/bus.nk"
  "NATS_CA_FILE" "/etc/modelmill/tls/ca.crt"
  "SERVICE_SECRET_FILE" "/etc/modelmill/secrets/service-secret"
  "MTLS_AUTHORITY_PATH" "/etc/modelmill/tls/ca.crt"
  "MTLS_CERTIFICATE_PATH" "/etc/modelmill/tls/tls.crt"
  "MTLS_KEY_PATH" "/etc/modelmill/tls/tls.key"
  "ARTIFACT_ROOT" (include "modelmill.artifactRoot" $root)
  "METRICS_ADDRESS" "0.0.0.0:9090"
  "GRPC_ADDRESS" "0.0.0.0:50051"
  "DRAIN_SECONDS" (toString .v.drainSeconds)
  "LOG_LEVEL" $v.logLevel
-}}
{{- if eq $v.artifacts.kind "s3" }}{{ $_ := set $env "ARTIFACT_CACHE" "/var/lib/modelmill/cache" }}{{ end -}}
{{- with .c.role }}{{ $_ := set $env "ROLE" . }}{{ end -}}
{{- if .c.work }}{{ $_ := set $env "WORK_ROOT" "/var/lib/modelmill/work" }}{{ end -}}
{{- if $v.traces.endpoint -}}
{{- $_ := set $env "OTLP_ENDPOINT" $v.traces.endpoint -}}
{{- $_ := set $env "OTLP_TOKEN_FILE" "/etc/modelmill/secrets/otlp-token" -}}
{{- end -}}
{{- /* Addresses of peers: the rows of files/edges.yaml to port 50051. */ -}}
{{- $table := $root.Files.Get "files/edges.yaml" | fromYaml -}}
{{- range $edge := $table.edges -}}
{{- if and (has $.name $edge.from) (eq (int ($edge.port | default 0)) 50051) -}}
{{- range $to := $edge.to -}}
{{- $_ := set $env (printf "%s_ADDRESS" ($to | replace "-" "_" | upper)) (printf "dns:///%s-%s:50051" $root.Release.Name $to) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq .c.service "gateway" -}}
{{- $_ := set $env "JWT_ISSUER" $v.gateway.jwtIssuer -}}
{{- $_ := set $env "JWT_AUDIENCE" $v.gateway.jwtAudience -}}
{{- if $v.gateway.jwksUrl }}{{ $_ := set $env "JWKS_URL" $v.gateway.jwksUrl }}{{ else }}{{ $_ := set $env "JWKS_PATH" "/etc/modelmill/secrets/jwks.json" }}{{ end -}}
{{- $_ := set $env "WEBHOOK_KEY_FILE" "/etc/modelmill/secrets/webhook-key" -}}
{{- $_ := set $env "HTTP_ADDRESS" "0.0.0.0:8080" -}}
{{- $_ := set $env "DRAIN_NOTICE_SECONDS" (toString .v.noticeSeconds) -}}
{{- if $v.gateway.tlsSecret -}}
{{- $_ := set $env "TLS_CERTIFICATE_PATH" "/etc/modelmill/public-tls/tls.crt" -}}
{{- $_ := set $env "TLS_KEY_PATH" "/etc/modelmill/public-tls/tls.key" -}}
{{- else -}}
{{- $_ := set $env "PLAINTEXT_BEHIND_PROXY" "true" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .name "gateway") $v.monitoring.gatewayAsks -}}
{{- $_ := set $env "PROMETHEUS_URL" $v.monitoring.prometheusAddress -}}
{{- $_ := set $env "PROMETHEUS_LABELS" (dict "namespace" $root.Release.Namespace "app_kubernetes_io_instance" $root.Release.Name | toJson) -}}
{{- end -}}
{{- if eq .c.service "inference" -}}
{{- if $v.triton.enabled -}}
{{- $_ := set $env "TRITON_URL" (printf "%s-triton:8001" $root.Release.Name) -}}
{{- $_ := set $env "TRITON_TOKEN_FILE" "/etc/modelmill/secrets/triton-token" -}}
{{- end -}}
{{- if $v.vllm.enabled -}}
{{- $_ := set $env "VLLM_URL" (printf "http://%s-vllm:8000/v1" $root.Release.Name) -}}
{{- $_ := set $env "VLLM_KEY_FILE" "/etc/modelmill/secrets/vllm-key" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .name "data-prep-work") $v.ray.address -}}
{{- $_ := set $env "RAY_ADDRESS" $v.ray.address -}}
{{- $_ := set $env "RAY_TOKEN_FILE" "/etc/modelmill/secrets/ray-token" -}}
{{- end -}}
{{- if and (eq .c.service "trainer") $v.trainJob.enabled -}}
{{- $_ := set $env "LAUNCHER" "kubernetes" -}}
{{- $_ := set $env "KUBERNETES_NAMESPACE" $root.Release.Namespace -}}
{{- $_ := set $env "KUBERNETES_RUNTIME" $v.trainJob.runtime -}}
{{- $_ := set $env "KUBERNETES_IMAGE" (include "modelmill.image" (dict "root" $root "image" "trainer-ranks")) -}}
{{- $_ := set $env "KUBERNETES_CLAIM" (include "modelmill.artifactClaim" $root) -}}
{{- $_ := set $env "KUBERNETES_MOUNT" "/var/lib/modelmill/shared" -}}
{{- $_ := set $env "WORK_ROOT" "/var/lib/modelmill/shared/ranks/$(POD_NAME)" -}}
{{- $_ := set $env "KUBERNETES_RANKS_PER_NODE" (toString $v.trainJob.ranksPerNode) -}}
{{- $_ := set $env "KUBERNETES_RANK_CPUS" (toString $v.trainJob.rankCpus) -}}
{{- end -}}
{{- range $key := keys .v.settings | sortAlpha }}{{ $_ := set $env $key (index $.v.settings $key) }}{{ end -}}
{{- if and (eq .c.service "trainer") $v.trainJob.enabled }}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
{{- end }}
{{- range $key := keys $env | sortAlpha }}
- {name: {{ $p }}_{{ $key }}, value: {{ index $env $key | quote }}}
{{- end }}
{{- if and (eq $v.artifacts.kind "s3") .c.artifacts }}
- {name: AWS_ENDPOINT_URL, value: {{ $v.artifacts.s3.endpoint | quote }}}
- {name: AWS_DEFAULT_REGION, value: {{ $v.artifacts.s3.region | quote }}}
- {name: AWS_SHARED_CREDENTIALS_FILE, value: /etc/modelmill/secrets/aws-credentials}
{{- end }}
{{- end -}}

{{- /* Keys of the shared Secret that this component sees. */ -}}
{{- define "modelmill.secretKeys" -}}
{{- $v := .root.Values -}}
{{- $keys := list "service-secret" -}}
{{- if $v.traces.endpoint }}{{ $keys = append $keys "otlp-token" }}{{ end -}}
{{- if eq .c.service "gateway" -}}
{{- $keys = append $keys "webhook-key" -}}
{{- if not $v.gateway.jwksUrl }}{{ $keys = append $keys "jwks.json" }}{{ end -}}
{{- end -}}
{{- if and (eq .c.service "inference") $v.triton.enabled }}{{ $keys = append $keys "triton-token" }}{{ end -}}
{{- if and (eq .c.service "inference") $v.vllm.enabled }}{{ $keys = append $keys "vllm-key" }}{{ end -}}
{{- if and (eq .name "data-prep-work") $v.ray.address }}{{ $keys = append $keys "ray-token" }}{{ end -}}
{{- if and (eq $v.artifacts.kind "s3") .c.artifacts }}{{ $keys = append $keys "aws-credentials" }}{{ end -}}
{{- range $keys }}
- {key: {{ . | quote }}, path: {{ . | quote }}}
{{- end }}
{{- end -}}

{{- define "modelmill.volumes" -}}
{{- $v := .root.Values -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .v.tmp | quote }}}
- name: bus
  secret:
    secretName: {{ include "modelmill.secret" (dict "root" .root "key" "bus") | quote }}
    defaultMode: 0440
    items: [{key: "{{ .c.service }}.nk", path: bus.nk}]
- name: tls
  secret:
    secretName: {{ include "modelmill.tlsSecret" (dict "root" .root "service" .c.service) | quote }}
    defaultMode: 0440
- name: secrets
  secret:
    secretName: {{ include "modelmill.secret" (dict "root" .root "key" "shared") | quote }}
    defaultMode: 0440
    items: {{- include "modelmill.secretKeys" . | nindent 6 }}
{{- if .c.work }}
- name: work
  emptyDir: {sizeLimit: {{ .v.scratch | quote }}}
{{- end }}
{{- if .v.sharedMemory }}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ .v.sharedMemory | quote }}}
{{- end }}
{{- if .c.artifacts }}
{{- if eq $v.artifacts.kind "s3" }}
- name: cache
  emptyDir: {sizeLimit: {{ $v.artifacts.s3.cache | quote }}}
{{- else }}
- name: artifacts
  persistentVolumeClaim: {claimName: {{ include "modelmill.artifactClaim" .root | quote }}}
{{- end }}
{{- end }}
{{- if and (eq .c.service "gateway") $v.gateway.tlsSecret }}
- name: public-tls
  secret: {secretName: {{ $v.gateway.tlsSecret | quote }}, defaultMode: 0440}
{{- end }}
{{- if and (eq .name "trainer-work") $v.trainJob.enabled }}
- name: api-access
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end -}}

{{- define "modelmill.mounts" -}}
{{- $v := .root.Values -}}
- {name: tmp, mountPath: /tmp}
- {name: bus, mountPath: /etc/modelmill/bus, readOnly: true}
- {name: tls, mountPath: /etc/modelmill/tls, readOnly: true}
- {name: secrets, mountPath: /etc/modelmill/secrets, readOnly: true}
{{- if .c.work }}
- {name: work, mountPath: /var/lib/modelmill/work}
{{- end }}
{{- if .v.sharedMemory }}
- {name: shm, mountPath: /dev/shm}
{{- end }}
{{- if .c.artifacts }}
{{- if eq $v.artifacts.kind "s3" }}
- {name: cache, mountPath: /var/lib/modelmill/cache}
{{- else }}
- {name: artifacts, mountPath: /var/lib/modelmill/shared}
{{- end }}
{{- end }}
{{- if and (eq .c.service "gateway") $v.gateway.tlsSecret }}
- {name: public-tls, mountPath: /etc/modelmill/public-tls, readOnly: true}
{{- end }}
{{- if and (eq .name "trainer-work") $v.trainJob.enabled }}
- {name: api-access, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}
{{- end -}}

{{- /* Alive is who takes connections: a blocked process ends by itself (BLOCKED_SECONDS), and a model may load long.
Ready is who says so: over mutual TLS, which kubelet cannot speak, so the image's own probe asks. */ -}}
{{- define "modelmill.probes" -}}
{{- $open := .c.ports.grpc | default .c.ports.metrics -}}
startupProbe:
  tcpSocket: {port: {{ int $open }}}
  periodSeconds: 2
  failureThreshold: 150
livenessProbe:
  tcpSocket: {port: {{ int $open }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  {{- if .c.ports.http }}
  httpGet: {path: /readyz, port: http{{ if .root.Values.gateway.tlsSecret }}, scheme: HTTPS{{ end }}}
  {{- else if .c.ports.grpc }}
  exec: {command: [python3, -I, -S, /opt/probe.py, "mtls:{{ .c.ports.grpc }}"]}
  {{- else }}
  tcpSocket: {port: {{ int $open }}}
  {{- end }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end -}}

{{- define "modelmill.resources" -}}
{{- $requests := deepCopy .v.resources.requests -}}
{{- $limits := deepCopy .v.resources.limits -}}
{{- range $each := list $requests $limits }}{{ with $each.cpu }}{{ $_ := set $each "cpu" (toString .) }}{{ end }}{{ end -}}
{{- if gt (int .v.gpus) 0 -}}
{{- $_ := set $limits "nvidia.com/gpu" (toString .v.gpus) -}}
{{- $_ := set $requests "nvidia.com/gpu" (toString .v.gpus) -}}
{{- end -}}
{{- toYaml (dict "requests" $requests "limits" $limits) -}}
{{- end -}}

{{- /* Bytes of a size; a broker's MB, GB and TB are powers of 1024 as well. */ -}}
{{- define "modelmill.bytes" -}}
{{- $unit := regexFind "[A-Z]" . -}}
{{- $factor := index (dict "K" 1024.0 "M" 1048576.0 "G" 1073741824.0 "T" 1099511627776.0) $unit -}}
{{- mulf (regexFind "^[0-9]+" . | float64) $factor -}}
{{- end -}}

{{- define "modelmill.cores" -}}
{{- $text := toString . -}}
{{- if hasSuffix "m" $text }}{{ divf ($text | trimSuffix "m" | float64) 1000.0 }}{{ else }}{{ float64 $text }}{{ end -}}
{{- end -}}

{{- /* Kubernetes takes such a Deployment, and then makes no pod of it. */ -}}
{{- define "modelmill.resourcesCheck" -}}
{{- $asked := .v.resources.requests -}}
{{- $limits := .v.resources.limits -}}
{{- $tooMuch := gt (include "modelmill.bytes" $asked.memory | float64) (include "modelmill.bytes" $limits.memory | float64) -}}
{{- if $tooMuch }}{{ fail (printf "%s.resources: requests.memory is %s, above limits.memory, %s. Raise the limit, or ask for less." .path $asked.memory $limits.memory) }}{{ end -}}
{{- if $limits.cpu -}}
{{- $tooMuch := gt (include "modelmill.cores" $asked.cpu | float64) (include "modelmill.cores" $limits.cpu | float64) -}}
{{- if $tooMuch }}{{ fail (printf "%s.resources: requests.cpu is %v, above limits.cpu, %v. Raise the limit, or ask for less." .path $asked.cpu $limits.cpu) }}{{ end -}}
{{- end -}}
{{- end -}}
