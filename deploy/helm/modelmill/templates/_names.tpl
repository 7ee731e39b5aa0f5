{{- define "modelmill.name" -}}
{{- printf "%s-%s" .root.Release.Name .name -}}
{{- end -}}

{{- /* The port of an address, by its scheme where it names none; a port is its own. */ -}}
{{- define "modelmill.port" -}}
{{- if regexMatch "^[0-9]+$" . -}}
{{- . -}}
{{- else -}}
{{- $host := regexFind "^[^/]+" (regexReplaceAll "^[a-z]+://" . "") -}}
{{- regexFind ":[0-9]+$" $host | trimPrefix ":" | default (ternary "443" "80" (hasPrefix "https:" .)) -}}
{{- end -}}
{{- end -}}

{{- /* PriorityClasses belong to no namespace, so it is in the name. Behind a dot, which neither it nor a release has. */ -}}
{{- define "modelmill.priorityClass" -}}
{{- printf "%s-%s.%s" .root.Release.Name .family .root.Release.Namespace -}}
{{- end -}}

{{- define "modelmill.selector" -}}
app.kubernetes.io/name: modelmill
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .name | quote }}
{{- end -}}

{{- define "modelmill.labels" -}}
{{ include "modelmill.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
{{- with .service }}
modelmill.io/service: {{ . | quote }}
{{- end }}
{{- end -}}

{{- /* An image by its digest, or by the tag of this chart's images. */ -}}
{{- define "modelmill.image" -}}
{{- $images := .root.Values.images -}}
{{- $digest := index $images.digests .image | default "" -}}
{{- $repository := .repository | default (printf "%s/%s" $images.repository .image) -}}
{{- if $digest -}}
{{- printf "%s@%s" $repository $digest -}}
{{- else if $images.requireDigests -}}
{{- fail (printf "images.digests.%s is empty, and images.requireDigests is true. Give the digest of %s, as `docker buildx imagetools inspect` shows it." .image $repository) -}}
{{- else -}}
{{- printf "%s:%s" $repository (.tag | default $images.tag) -}}
{{- end -}}
{{- end -}}

{{- define "modelmill.secret" -}}
{{- $name := index .root.Values.secrets .key -}}
{{- if not $name -}}
{{- fail (printf "secrets.%s is empty. Name the Secret that `deploy/helm/secrets` made." .key) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "modelmill.tlsSecret" -}}
{{- if eq .root.Values.tls.mode "cert-manager" -}}
{{- printf "%s-%s-tls" .root.Release.Name .service -}}
{{- else -}}
{{- if not .root.Values.secrets.tlsPrefix -}}
{{- fail "secrets.tlsPrefix is empty, and tls.mode is `secrets`. Name the prefix that `deploy/helm/secrets` was given, or set tls.mode to cert-manager." -}}
{{- end -}}
{{- printf "%s%s-tls" .root.Values.secrets.tlsPrefix .service -}}
{{- end -}}
{{- end -}}

{{- define "modelmill.natsReplicas" -}}
{{- if .Values.nats.address -}}{{ .Values.nats.streamReplicas }}{{- else -}}{{ .Values.nats.replicas }}{{- end -}}
{{- end -}}

{{- define "modelmill.natsUrl" -}}
{{- if .Values.nats.address -}}
{{- .Values.nats.address -}}
{{- else -}}
{{- $urls := list -}}
{{- range $i := until (int .Values.nats.replicas) -}}
{{- $urls = append $urls (printf "nats://%s-nats-%d.%s-nats:4222" $.Release.Name $i $.Release.Name) -}}
{{- end -}}
{{- join "," $urls -}}
{{- end -}}
{{- end -}}

{{- define "modelmill.artifactRoot" -}}
{{- if eq .Values.artifacts.kind "s3" -}}{{ .Values.artifacts.s3.url }}{{- else -}}/var/lib/modelmill/shared/artifacts{{- end -}}
{{- end -}}

{{- define "modelmill.artifactClaim" -}}
{{- .Values.artifacts.volume.existingClaim | default (printf "%s-artifacts" .Release.Name) -}}
{{- end -}}

{{- /* Seconds of a pod's grace: the notice, calls in hand, 15 to close the rest (BEYOND_DRAIN_SECONDS), and 5 to spare. */ -}}
{{- define "modelmill.grace" -}}
{{- $drain := add (int .v.drainSeconds) (int .v.noticeSeconds) 20 -}}
{{- if .c.saves -}}{{- $drain = add $drain (int .v.saveSeconds) -}}{{- end -}}
{{- $drain -}}
{{- end -}}
